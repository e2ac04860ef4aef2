"""Front door 2: the terminal UI. `app` routes, `screens` show, rooms do the work."""
