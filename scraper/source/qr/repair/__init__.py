"""Codes that no engine reads: found, straightened, deblurred and corrected module by module."""
