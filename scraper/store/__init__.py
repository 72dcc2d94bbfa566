"""Verified instances on the disk: atomic, resumable, under safe names."""
