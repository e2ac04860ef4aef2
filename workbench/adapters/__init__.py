"""The library of trained adapters: manifests, registration, lineage."""
