"""What of a person must not be left in a copy: names, numbers and UIDs, and whether any of them is in its bytes."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scraper.dicom import charset, structure
from scraper.dicom.elements import declared_charset

_TELLING: Final = (  # name, ID, accession number, other IDs, other names, phone, address, study ID, insurance, admission
    0x00100010,
    0x00100020,
    0x00080050,
    0x00101000,
    0x00101001,
    0x00102154,
    0x00101040,
    0x00200010,
    0x00101050,
    0x00380010,
)
_UIDS: Final = (0x0020000D, 0x0020000E, 0x00080018, 0x00200052)
_SHORTEST_IN_PIXELS: Final = 6  # bytes of a word that pixels hold hardly by chance


@dataclass(frozen=True, slots=True)
class Original:
    """What must not be left of one file."""

    words: frozenset[bytes] = field(repr=False)  # in lower case
    spellings: frozenset[bytes] = field(repr=False)  # as they stood in the file
    texts: tuple[str, ...] = field(repr=False)
    uids: frozenset[bytes] = field(repr=False)


def original_of(path: Path) -> Original:
    """What must not be left in the file: the name, the numbers and the UIDs of the patient, as they stood in it.

    Out of the bytes, since pydicom parts GBK at a second byte 0x5C, and would look for half a name.
    """
    words: set[bytes] = set()
    texts: list[str] = []
    with structure.mapped(path) as data:
        layout = structure.layout_of(data)
        declared = declared_charset(layout)
        values = [layout.value(tag) for tag in _TELLING]
        uids = {layout.value(tag).strip(b"\0 ") for tag in _UIDS}
        layout.data = b""  # the map is about to be closed
    guessed = charset.suspect(values, declared)
    for value in values:
        text = charset.decode(value, declared, guessed)
        parts = [part for part in re.split(r"[\s^=\\]+", text) if len(part) >= (2 if not part.isascii() else 5)]
        whole = re.sub(r"[\s^]+", "", text.partition("=")[0].partition("\\")[0])
        for part in dict.fromkeys((whole, *parts)):
            if len(part) >= (2 if not part.isascii() else 5):
                texts.append(part)
                words |= _encodings(part)
    texts.sort(key=len, reverse=True)
    own = frozenset(uid for uid in uids if uid and not uid.startswith(b"1.2.840.10008."))
    spellings = {text.encode(name, "replace") for text in texts for name in ("utf-8", "gb18030")}
    return Original(frozenset(words), frozenset(spellings), tuple(texts), own)


def _encodings(word: str) -> set[bytes]:
    """A word's bytes in the character sets in which it may stand elsewhere in the file, in lower case."""
    found = set[bytes]()
    for name in ("utf-8", "gb18030", "big5", "latin-1", "utf-16-le", "utf-16-be"):
        with suppress(UnicodeEncodeError):
            found.add(word.encode(name).lower())
    return found


def leaks(path: Path, original: Original, *, keeps_uids: bool) -> bool:
    """Whether anything of the original is found in the copy: in every byte of the tags, and, where it is long, of the pixels."""
    with structure.mapped(path) as data:
        at = data.rfind(b"\xe0\x7f\x10\x00")
        at = len(data) if at < 0 else at
        tags = bytes(data[:at]).lower()
        words = original.words if keeps_uids else original.words | original.uids
        long = [word for word in words | original.spellings if len(word) >= _SHORTEST_IN_PIXELS]
        return any(word in tags for word in words) or any(data.find(word, at) >= 0 for word in long)
