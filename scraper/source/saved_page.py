"""What a page that a person saved holds: a study's images themselves, or at least the address that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from scraper.core.errors import UnreadableFile
from scraper.isolation.child import Child, ChildLost

_PROGRAM: Final = "scraper.protocols.page_unpack"
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class SavedPage:
    """Where it came from, empty where it does not say; and whether DICOM lies in it."""

    address: str
    has_images: bool


def look(path: Path) -> SavedPage:
    """Look into a saved page, in a child process.

    Raises:
        UnreadableFile: it can't be read, or is too large.
    """
    with TemporaryDirectory(prefix="cloudfilm-page-") as folder:
        child = Child(_PROGRAM, (folder,), _PATIENCE_S)
        try:
            for answer, _ in child.ask({"page": str(path.absolute()), "look": True}):
                if "end" in answer:
                    return SavedPage(str(answer.get("page") or ""), answer.get("holds") is True)
        except ChildLost as err:
            raise UnreadableFile(path=str(path)) from err
        finally:
            child.close()
    raise UnreadableFile(path=str(path))
