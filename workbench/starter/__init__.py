"""The embedded base model and sample data, with their provenance."""
