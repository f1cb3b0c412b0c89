"""Room: metrics. How good a result is: images, motion, identity, and one protocol for reenactment.

Definitions, ranges and directions stand in the docstrings of the functions; ``reenactment`` runs them all.
"""
