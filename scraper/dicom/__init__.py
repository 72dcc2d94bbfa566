"""Payloads → Part 10 files: normalise what a site served, rebuild split objects, put instances in order."""

from scraper.dicom.headers import anonymous_header, header
from scraper.dicom.order import order
from scraper.dicom.part10 import ensure_part10, normalise
from scraper.dicom.pseudonymise import pseudonymised, stream
from scraper.dicom.rebuild import Rebuilt, check_frame, rebuild

__all__ = [
    "Rebuilt",
    "ensure_part10",
    "anonymous_header",
    "check_frame",
    "pseudonymised",
    "header",
    "order",
    "rebuild",
    "normalise",
    "stream",
]
