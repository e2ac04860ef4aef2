"""Widgets that several screens share; none of them calls a room."""
