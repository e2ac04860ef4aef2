"""The machine room: the only room that imports torch; entered only as a child process."""
