"""Room: compose."""
