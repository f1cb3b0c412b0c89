"""Room: controls."""
