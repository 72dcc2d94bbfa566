"""Capture a viewer that no provider describes: observe what it receives, infer its requests, request the rest, drive it.

``study`` owns the loop for one study, ``link_capture`` that over several studies.
"""

from scraper.capture.link_capture import Capture
from scraper.capture.plan import StrategyKind

__all__ = ["StrategyKind", "Capture"]
