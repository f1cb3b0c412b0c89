"""Room: diffusion."""
