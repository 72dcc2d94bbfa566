"""Replace everything that could identify a person, consistently: values, texts, pages, scripts, DICOM objects, pixels."""

from scraper.authoring.redact.bodies import Bodies
from scraper.authoring.redact.names import Names
from scraper.authoring.redact.texts import Texts, headers

__all__ = ["Bodies", "Names", "Texts", "headers"]
