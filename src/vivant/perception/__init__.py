"""Room: perception."""
