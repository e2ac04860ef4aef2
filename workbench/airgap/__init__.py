"""Lock-down of a process, its self-test, and what both report."""
