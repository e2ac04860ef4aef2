"""The strongroom: keys, sealed objects, catalogue and audit log."""
