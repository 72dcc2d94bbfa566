"""Described instances fetched, inspected and collected."""
