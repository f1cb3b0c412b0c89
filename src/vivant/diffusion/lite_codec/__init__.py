"""Vivant's own latent codec: small, fast on two CPU cores, trained here."""
