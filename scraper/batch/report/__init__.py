"""The outcome of a batch as a table and as a page."""
