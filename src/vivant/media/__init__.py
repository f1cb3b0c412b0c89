"""Pictures, videos and sound in and out of files: exact frame rates, lazy frames, whole files or none."""
