"""Receive the objects that an archive sends: files written as they came, and the accepted Transfer Syntaxes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from scraper.core.disk import as_store_error
from scraper.core.errors import CloudfilmError
from scraper.dicom.part10 import file_meta

if TYPE_CHECKING:
    from pynetdicom import evt
    from pynetdicom.dimse_primitives import C_STORE

PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
COMPRESSED = tuple(
    f"1.2.840.10008.1.2.{tail}"  # PS3.5 10 and annex A: JPEG, JPEG-LS, JPEG 2000, RLE, HTJ2K, deflated frames, JPEG XL
    for tail in (
        "4.70",
        "4.57",
        "4.90",
        "4.80",
        "5",
        "4.201",
        "4.202",
        "4.50",
        "4.51",
        "4.91",
        "4.81",
        "4.203",
        "8.1",
        "4.110",
        "4.111",
        "4.112",
        "1.98",
    )
)
VIDEO = tuple(f"1.2.840.10008.1.2.4.{tail}" for tail in ("100", "101", "102", "103", "104", "105", "106", "107", "108"))
# endoscopic, microscopic, photographic
VIDEO_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.77.1.{tail}" for tail in ("1.1", "2.1", "4.1"))
# reports, presentation states, encapsulated documents, waveforms, RT structure sets and plans, registrations
NO_PIXELS = tuple(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in ("88.", "11.", "104.", "9.", "481.3", "481.5", "481.8", "66.1", "66.3")
)
STORED, NOT_ASKED_FOR, OUT_OF_RESOURCES = 0x0000, 0xC000, 0xA700  # PS3.4 B.2.3


class StoreReceiver:
    """Receive the objects of one retrieval; each becomes a Part 10 file with its data set's bytes untouched.

    Args:
        uids: SOP Instance UIDs that were requested; anything else is rejected.
        syntaxes: Transfer Syntaxes that the archive says it has these in.
        folder: where files go.
        arrived: called with the UID and the file, in the library's thread.
    """

    def __init__(
        self, uids: Collection[str], syntaxes: Sequence[str], folder: Path, arrived: Callable[[str, Path], None]
    ) -> None:
        self.uids = frozenset(uids)
        self.syntaxes = syntaxes
        self.failure: CloudfilmError | None = None
        self.came: set[str] = set()
        self.callers = 0  # associations that the archive opened to us
        self._folder = folder
        self._arrived = arrived

    def store(self, event: evt.Event) -> int:
        """Handle one C-STORE request and return its status (PS3.4 B.2.3)."""
        request = cast("C_STORE", event.request)
        uid = str(request.AffectedSOPInstanceUID)
        if uid not in self.uids or request.DataSet is None:
            return NOT_ASKED_FOR
        path = self._folder / f"{uid}.dcm"
        part = path.with_suffix(f".{threading.get_ident()}.part")
        try:
            with part.open("wb") as out:
                out.write(file_meta(str(request.AffectedSOPClassUID), uid, str(event.context.transfer_syntax)))
                out.write(request.DataSet.getbuffer())
            part.replace(path)
        except OSError as err:
            part.unlink(missing_ok=True)
            self.failure = as_store_error(err, self._folder)
            return OUT_OF_RESOURCES
        self.came.add(uid)
        self._arrived(uid, path)
        return STORED


def syntaxes_of(sop_class: str, known: Sequence[str]) -> list[str]:
    """The Transfer Syntaxes to accept for a class; those that the archive names first."""
    usual = [*PLAIN]
    if not sop_class.startswith(NO_PIXELS):
        usual += COMPRESSED
    if sop_class in VIDEO_CLASSES:
        usual += VIDEO
    return list(dict.fromkeys((*known, *usual)))
