"""A list of sources and its rows."""
