"""Where an output comes from: the run record written beside it."""
