"""Animation methods, one folder each. They never import each other."""
