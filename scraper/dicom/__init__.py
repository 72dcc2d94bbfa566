"""Payloads → Part 10 files: settle what a site served, rebuild what it serves apart, put instances in order."""

from scraper.dicom.order import order
from scraper.dicom.part10 import admit, anonymous_header, header, settle
from scraper.dicom.pseudonymise import disguised, stream
from scraper.dicom.rebuild import Rebuilt, check_frame, rebuild

__all__ = [
    "Rebuilt",
    "admit",
    "anonymous_header",
    "check_frame",
    "disguised",
    "header",
    "order",
    "rebuild",
    "settle",
    "stream",
]
