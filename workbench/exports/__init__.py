"""Export targets: preflight, contract, manifest and provenance files."""
