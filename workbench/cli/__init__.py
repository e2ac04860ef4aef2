"""Front door 1: one module a command group; each parses, calls a room and prints."""
