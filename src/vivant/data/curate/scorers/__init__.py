"""The scorers, one small class each, in files of their own."""
