"""Decode a payload's bytes to text where the code does not name the encoding.

UTF-8 is recognised by its form. Other bytes are read as Chinese (GB18030), Japanese (Shift-JIS) and Western (Windows-1252), and
the most plausible text is taken: each character counts by its frequency, and one that its neighbours make implausible
counts against the reading. The rest is decoded byte for byte (Latin-1).

Source:
    GB/T 2312-1980: level 1 (rows 16 to 55) holds the usual characters, level 2 (rows 56 to 87) the rare ones.
    JIS X 0208: level 1 (rows 16 to 47), level 2 (rows 48 to 84); JIS X 0201: half-width katakana. The weights are ours.
"""

from __future__ import annotations

from collections.abc import Callable

_CHINESE = 1.0  # where nothing speaks for either: these are codes on Chinese films
_FEWEST = 0.0  # plausibility below which bytes are no text
_VOICED = frozenset("ｳｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾊﾋﾌﾍﾎ")
_HALF_VOICED = frozenset("ﾊﾋﾌﾍﾎ")
_NEVER_FIRST = frozenset("ﾞﾟｧｨｩｪｫｬｭｮｯｰ")


def as_text(payload: bytes) -> str:
    """The payload's bytes as text."""
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        pass
    best, most = payload.decode("latin-1"), _FEWEST
    for encoding, plausibility, prior in _READINGS:
        try:
            text = payload.decode(encoding)
        except UnicodeDecodeError:
            continue
        worth = plausibility(text) + prior - sum(char < " " and char not in "\t\r\n" for char in text)
        if worth > most:
            best, most = text, worth
    return best


def _chinese(text: str) -> float:
    worth = 0.0
    for char in text:
        if char.isascii():
            continue
        code = char.encode("gb18030")
        if len(code) != 2 or min(code) < 0xA1:  # beyond GB 2312: a rare name
            worth -= 1.5 if len(code) == 2 else 2.5
        elif code[0] < 0xA4:  # punctuation, digits, wide Latin
            worth += 1.5
        elif code[0] < 0xB0:  # other scripts
            worth -= 0.5
        else:
            worth += 2.0 if code[0] < 0xD8 else 0.5
    return worth


def _japanese(text: str) -> float:
    worth, before, marks = 0.0, "", 0
    for char in text:
        if (char == "ﾞ" and before in _VOICED) or (char == "ﾟ" and before in _HALF_VOICED):
            marks += 1
        elif "｡" <= char <= "ﾟ":
            is_odd = char in _NEVER_FIRST and (char in "ﾞﾟ" or not "ｦ" <= before <= "ﾟ")
            worth += -2.0 if is_odd else 0.3
        elif "ぁ" <= char <= "ヾ":
            worth += 2.0
        elif not char.isascii():
            code = char.encode("cp932")
            if "\u4e00" <= char <= "\u9fff":
                worth += 1.0 if code[0] < 0x98 else -0.5
            else:
                worth += 0.5 if code[0] == 0x81 else -1.0
        before = char
    return worth + (4.0 * marks if marks > 1 else 1.0 * marks)  # one may be a coincidence, two are hardly


def _western(text: str) -> float:
    """Plausibility as Western text: accented letters stand among plain ones, seldom side by side."""
    worth, before = 0.0, ""
    for char in text:
        if char < " " and char not in "\t\r\n":
            worth -= 3.0
        elif not char.isascii():
            is_letter = char.isalpha()
            worth += (-1.0 if is_letter else -0.5) if before and not before.isascii() else 1.0 if is_letter else 0.3
        before = char
    return worth


_READINGS: tuple[tuple[str, Callable[[str], float], float], ...] = (
    ("gb18030", _chinese, _CHINESE),
    ("cp932", _japanese, 0.0),
    ("cp1252", _western, 0.0),
)
