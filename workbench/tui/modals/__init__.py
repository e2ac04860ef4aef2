"""Dialogs that answer one question and return its answer."""
