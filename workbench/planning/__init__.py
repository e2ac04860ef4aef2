"""Hardware probe, memory model and planner (no torch)."""
