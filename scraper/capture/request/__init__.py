"""Requests for what the viewer has not asked for itself."""
