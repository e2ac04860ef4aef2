"""The jobs that the engine can do, one module each; `run(session)` is their entry."""
