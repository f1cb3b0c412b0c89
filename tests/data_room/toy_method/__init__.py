"""A trainable method of one layer, for tests of the train pipeline."""
