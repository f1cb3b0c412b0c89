"""Room: data.synthesis. Stills of people become clips with exact motion, for training."""
