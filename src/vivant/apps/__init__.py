"""A person's wish becomes one pipeline call: the command line, nothing else."""
