"""Read codes on pages of pixels."""
