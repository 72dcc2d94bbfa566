"""Text of which nobody says how it is written: UTF-8 or GBK."""

from __future__ import annotations


def decoded(raw: bytes, name: str) -> str | None:
    """The bytes as text of that codec; None where they are none."""
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
