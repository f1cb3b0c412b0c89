"""The parts of ``vivant evaluate``: each module declares the options of one sub-command and runs it."""
