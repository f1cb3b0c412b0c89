"""Nets that metrics look through: published architectures with their published key names, and our own."""
