"""Room: data.figures. People who do not exist, dressed, moved and rendered, with an exact skeleton, for training."""
