"""Payloads → Part 10 files: settle what a site served, rebuild what it serves apart, put instances in order."""

from scraper.assemble.disguise import disguised, stream
from scraper.assemble.order import order
from scraper.assemble.part10 import admit, anonymous_header, header, settle
from scraper.assemble.rebuild import Rebuilt, check_frame, rebuild

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
