"""Room: provenance."""
