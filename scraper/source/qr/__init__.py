"""Read codes on pages of pixels."""

from scraper.source.qr.reader import (
    Code,
    Reader,
    Reading,
    Suspect,
    WrongSum,
    default_folder,
    fetch_models,
    read,
)

__all__ = ["Code", "Reader", "Reading", "Suspect", "WrongSum", "default_folder", "fetch_models", "read"]
