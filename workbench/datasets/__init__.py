"""Files become strict records, are checked, and are sealed as dataset versions (no torch)."""
