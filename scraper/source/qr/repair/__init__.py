"""Codes that no engine reads: find, straighten, deblur and correct them module by module."""
