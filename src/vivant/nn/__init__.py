"""Room: nn."""
