"""Decode bytes to text: the encoding is known from a label, a byte order mark, or the bytes themselves.

Source: Unicode 15 section 23.8 (byte order marks); GB 18030-2022, which holds GBK and GB2312.
"""

from __future__ import annotations

import codecs
from typing import Final

GB: Final = "gb18030"
UTF8: Final = "utf-8"
_MARKS: Final = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(body: bytes) -> str:
    """A body as text whatever its label says: as its mark says, UTF-8, else GB18030; bytes that are neither become U+FFFD."""
    return body.decode(marked_codec(body) or codec_of(body), errors="replace")


def codec_of(body: bytes) -> str:
    """UTF-8 where the bytes are that, else GB18030."""
    return UTF8 if is_utf8(body) else GB


def marked_codec(body: bytes) -> str:
    """The codec that a byte order mark names; empty without one."""
    return next((codec for mark, codec in _MARKS if body.startswith(mark)), "")


def is_utf8(body: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    return decoded(body, UTF8) is not None


def decoded(raw: bytes, name: str) -> str | None:
    """The bytes as text of that codec; None if they are not."""
    try:
        return raw.decode(name)
    except UnicodeDecodeError:
        return None


def is_chinese(text: str) -> bool:
    """Whether all non-ASCII characters are Chinese: ideographs and their punctuation."""
    others = [sign for sign in text if ord(sign) > 0x7F]
    return bool(others) and all(
        0x4E00 <= ord(sign) <= 0x9FFF
        or 0x3000 <= ord(sign) <= 0x303F
        or 0xFF00 <= ord(sign) <= 0xFFEF
        or sign in "·—…“”‘’℃μ²³×±"
        for sign in others
    )


def guessed_text(raw: bytes, otherwise: str) -> str:
    """UTF-8 or GBK, whichever gives Chinese writing, else what the bytes allow.

    Args:
        raw: its bytes.
        otherwise: the codec where they are neither; one that reads any bytes.
    """
    utf8, gb = decoded(raw, "utf-8"), decoded(raw, "gb18030")
    for text in (utf8, gb):
        if text is not None and (text.isascii() or is_chinese(text)):
            return text
    if utf8 is not None:
        return utf8
    return raw.decode(otherwise) if gb is None else gb
