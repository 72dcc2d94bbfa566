"""Viewers sold under two names or more, each with what their platforms share."""
