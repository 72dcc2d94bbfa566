"""A proxy on this computer: it hands over what the person's own browser or phone receives of a film, and nothing else."""
