"""The shelf of base models: register, verify, and read family facts without torch."""
