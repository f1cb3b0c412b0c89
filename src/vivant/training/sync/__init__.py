"""How the sync net learns: ``vivant train sync``."""
