"""Room: pipelines."""
