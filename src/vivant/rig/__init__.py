"""The photo rig: a morphable head fitted to one photograph, which then moves with the photograph's own pixels."""
