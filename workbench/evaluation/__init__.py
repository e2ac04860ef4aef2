"""Metrics and comparisons over records and answers (no torch)."""
