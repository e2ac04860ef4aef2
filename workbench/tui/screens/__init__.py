"""One module a screen; each shows what a room knows and asks rooms to act."""
