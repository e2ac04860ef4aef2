"""Start, follow, steer and recover background jobs (no torch)."""
