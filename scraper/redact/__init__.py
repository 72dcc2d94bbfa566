"""What a person could be told by, replaced consistently: values, texts, pages, scripts, DICOM objects, pixels."""

from scraper.redact.bodies import Bodies
from scraper.redact.names import Names
from scraper.redact.texts import Texts, headers

__all__ = ["Bodies", "Names", "Texts", "headers"]
