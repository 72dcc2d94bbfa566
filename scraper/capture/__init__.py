"""A viewer that nobody has a recipe for: watch it, recognise DICOM, ask for the rest, and say how complete that is."""

from scraper.capture.study import (
    By,
    Capture,
)

__all__ = ["By", "Capture"]
