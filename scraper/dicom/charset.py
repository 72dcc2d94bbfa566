"""Text of DICOM files: declared character sets, actual encodings, and the escapes that pydicom leaves.

Source: PS3.3 C.12.1.1.2 (Specific Character Set), PS3.5 6.1 and annexes J (GB18030) and K (ISO 2022 IR 58).
pydicom 3.0.2 decodes ISO 2022 IR 58 with the escape ``ESC $ ) A`` left in the text; here it is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import pydicom.charset

from scraper.core.text import decoded, is_chinese

UTF8: Final = "ISO_IR 192"
_IR58_ESCAPE: Final = b"\x1b$)A"
_HIGH_RUNS: Final = re.compile(rb"[\x80-\xff]+")

# What one value of Specific Character Set means (PS3.3 C.12.1.1.2); those with escapes are left to pydicom.
_CODECS: Final = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO 2022 IR 6": "ascii",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 166": "tis-620",
    "ISO_IR 192": "utf-8",
    "ISO_IR 203": "iso8859-15",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_SINGLE_BYTE: Final = frozenset(
    name for name, codec in _CODECS.items() if codec.startswith(("iso8859", "latin", "tis"))
)


def codec(declared: Sequence[str]) -> str:
    """The Python codec of a single-valued character set; empty where it uses escapes or is unknown."""
    return _CODECS.get(declared[0].strip() if declared else "", "") if len(declared) < 2 else ""


def _looks_gbk(raw: bytes) -> bool:
    """Whether bytes look like GBK: pairs of GB2312 bytes that form ideographs, at least two of them."""
    runs: list[bytes] = _HIGH_RUNS.findall(raw)
    if sum(map(len, runs)) < 4 or any(len(run) % 2 for run in runs):
        return False
    text = decoded(raw, "gb2312")
    return text is not None and is_chinese(text)


def _is_utf8_chinese(raw: bytes) -> bool:
    utf8 = decoded(raw, "utf-8")
    return utf8 is not None and is_chinese(utf8)


def _not_utf8(raw: bytes) -> str:
    if decoded(raw, "utf-8") is not None:
        return ""
    return "GB18030" if decoded(raw, "gb18030") is not None else "unknown"


def _not_ascii(raw: bytes) -> str:
    if decoded(raw, "utf-8") is not None:
        return UTF8
    return "GB18030" if _looks_gbk(raw) else "unknown"


def _not_gb(raw: bytes) -> str:
    if _is_utf8_chinese(raw):
        return UTF8
    return "" if decoded(raw, "gb18030") is not None else "unknown"


def _not_single_byte(raw: bytes) -> str:
    if _is_utf8_chinese(raw):
        return UTF8
    return "GB18030" if _looks_gbk(raw) else ""


_DOUBTS: Final[dict[str, Callable[[bytes], str]]] = {
    "utf-8": _not_utf8,
    "ascii": _not_ascii,
    "gb18030": _not_gb,
    "gbk": _not_gb,
}
"""Codec → what else the bytes must be; empty where they are what they are called."""


def suspect(values: Iterable[bytes], declared: Sequence[str]) -> str:
    """The actual character set of the bytes where it contradicts the declared one; empty otherwise.

    Args:
        values: the raw values of elements of VR LO, LT, PN, SH, ST, UC, UT.
        declared: Specific Character Set, value by value.
    """
    raw = b"\n".join(value for value in values if any(byte > 0x7F for byte in value))
    if not raw or b"\x1b" in raw:
        return ""
    first = _without_escapes(declared)
    name = codec([first])
    if name in _DOUBTS:
        return _DOUBTS[name](raw)
    return _not_single_byte(raw) if first in _SINGLE_BYTE else ""


def _without_escapes(declared: Sequence[str]) -> str:
    """The set that is in force where no escape sequence stands: the first one (PS3.3 C.12.1.1.2), ASCII for a Chinese one.

    Not a character set where Korean or Japanese ones are declared, whose bytes look like Chinese.
    """
    sets = [name.strip() for name in declared] or [""]
    if len(sets) == 1 and not sets[0].startswith("ISO 2022"):
        return sets[0]
    if any(name.rpartition(" ")[2] in {"13", "87", "149", "159"} for name in sets):
        return "other"
    first = sets[0].replace("ISO 2022 IR", "ISO_IR")
    return "" if first == "ISO_IR 58" else first


def decode(raw: bytes, declared: Sequence[str], guessed: str = "") -> str:
    """Decode a value's text; never raises, never leaves an escape.

    Args:
        raw: the value's bytes.
        declared: Specific Character Set, value by value.
        guessed: the result of ``suspect``; it takes precedence over the declared set.
    """
    raw = raw.rstrip(b"\0 ")
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if guessed and guessed != "unknown":
        return raw.decode(_CODECS[guessed], "replace")
    if _IR58_ESCAPE in raw:
        return raw.replace(_IR58_ESCAPE, b"").replace(b"\x1b(B", b"").decode("gb18030", "replace")
    name = codec(declared)
    if name and name != "ascii":
        return raw.decode(name, "replace")
    if name == "ascii":
        return raw.decode("utf-8", "replace")
    encodings = pydicom.charset.convert_encodings(list(declared))
    return pydicom.charset.decode_bytes(
        raw, encodings, {ord("\\"), ord("^"), ord("="), ord("\n"), ord("\r"), ord("\f")}
    )


def _splits(text: str, name: str) -> bool:
    """Whether a character's second byte is one at which byte-wise readers split: a backslash or, in names, ``^``.

    Source: PS3.5 6.1.2.5.3 (delimiters), PS3.3 C.12.1.1.2 note on GB18030 and GBK.
    """
    return any(sign > "\x7f" and any(byte in b"\\^" for byte in sign.encode(name)[1:]) for sign in text)


def fitting(texts: Sequence[str], declared: Sequence[str]) -> str:
    """The character set to write: the declared one where it can hold every text safely, else UTF-8.

    Empty where all is ASCII and no set is declared.
    """
    wanted = declared[0].strip() if len(declared) == 1 else ""
    if not any(not text.isascii() for text in texts):
        return wanted if wanted in _CODECS else ""
    name = _CODECS.get(wanted, "")
    if name in {"", "ascii", "shift_jis"}:
        return UTF8
    try:
        if any(_splits(text, name) for text in texts):
            return UTF8
        for text in texts:
            text.encode(name)
    except UnicodeEncodeError:
        return UTF8
    return wanted


def is_mojibake(text: str) -> bool:
    """Whether the site had garbled the text already: GBK or UTF-8 read as Latin-1, or replacement characters."""
    if "\ufffd" in text:
        return True
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    if raw.isascii():
        return False
    utf8 = decoded(raw, "utf-8")
    return (utf8 is not None and is_chinese(utf8)) or _looks_gbk(raw)
