"""Room: metrics. How good a result is.

``metric`` holds the registry of everything that is measured, ``probes`` look at clips, ``suite`` runs over many,
``protocols`` are published tables as objects, ``reenactment`` compares a method with baselines that learn nothing.
"""
