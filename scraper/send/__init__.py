"""A folder's instances to an archive: by C-STORE or STOW-RS, each as it is, resumable."""

from scraper.send.outcome import Sent
from scraper.send.run import send
from scraper.send.target import DicomTarget, WebTarget, target_of

__all__ = ["DicomTarget", "Sent", "WebTarget", "send", "target_of"]
