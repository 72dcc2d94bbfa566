"""The replacements of one bundle: equal values get equal replacements, and nothing leads back.

A replacement is derived from a key that lives as long as the object and is never stored. It has its original's kind and length: a
capital becomes a capital, a digit a digit, a Chinese character a Chinese character; a UID stays a UID; every date moves by one
secret number of days.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

import numpy as np

STANDARD_UIDS: Final = "1.2.840.10008."  # DICOM's own: what a thing is, not whose
_HANZI: Final = (
    "天地日月山水云雨风雪花草木林石金玉江河湖海春夏秋冬东西南北红黄蓝绿青白黑大小多少高低长短方圆前后左右"
    "上下中外远近早晚朝夕晨昏晴阴冷暖牛羊马鹿鸟鱼虫米麦豆瓜果桃李杏梅兰竹菊松柏桂枫琴棋书画笔墨纸砚"
)
_UPPER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TRIES: Final = 64
_LONG: Final = 1024  # bytes
_DATE: Final = re.compile(r"(\d{4})(\D*)(\d{2})(\D*)(\d{2})")
UID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*)){3,}")


class Names:
    """Makes replacements and remembers what was replaced.

    Attributes:
        given: original → replacement; held in memory only.
        personal: words from descriptions of a person; they are replaced everywhere.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._days = secrets.choice((-1, 1)) * (150 + secrets.randbelow(900))
        self._seconds = 600 + secrets.randbelow(80_000)
        self.given: dict[str, str] = {}
        self.personal: set[str] = set()
        self._taken: set[str] = set()

    def word(self, original: str) -> str:
        """Replace a word, a number or a code, character by character within its class."""
        if not any(char.isalnum() for char in original):
            return original
        return self._once(original, self._word)

    def uid(self, original: str) -> str:
        """Replace a UID by one of the same length; DICOM's own stay."""
        if original.startswith(STANDARD_UIDS):
            return original
        return self._once(original, self._uid)

    def date(self, original: str) -> str:
        """Shift year, month and day, whatever separates them; an invalid date is treated as a number."""
        match = _DATE.fullmatch(original)
        try:
            here = date(int(match[1]), int(match[3]), int(match[5])) if match else None
            moved = here + timedelta(days=self._days) if here else None
        except (ValueError, OverflowError):
            moved = None
        if match is None or moved is None or not 1000 <= moved.year <= 9999:
            return self.word(original)
        shown = f"{moved.year:04d}{match[2]}{moved.month:02d}{match[4]}{moved.day:02d}"
        return self._once(original, lambda *_: shown)

    def time(self, original: str) -> str:
        """Shift hours, minutes and seconds round the clock; replace a fraction."""
        match = re.fullmatch(r"(\d\d)(\D?)(\d\d)(?:(\D?)(\d\d))?(?:(\.)(\d+))?", original)
        if match is None or int(match[1]) > 23 or int(match[3]) > 59 or int(match[5] or 0) > 60:
            return self.word(original)
        total = (int(match[1]) * 3600 + int(match[3]) * 60 + int(match[5] or 0) + self._seconds) % 86400
        shown = f"{total // 3600:02d}{match[2]}{total // 60 % 60:02d}"
        if match[5]:
            shown += f"{match[4]}{total % 60:02d}"
        if match[7]:
            shown += "." + self._word(match[7], 0)
        self.given.setdefault(original, shown)
        return shown

    def instant(self, seconds: int, unit: int = 1) -> int:
        """Shift a point in time given as a number, like the dates; ``unit``: how many of it make a second."""
        moved = seconds + (self._days * 86400 + self._seconds) * unit
        self.given.setdefault(str(seconds), str(moved))
        return moved

    def noise(self, length: int, salt: str = "") -> bytes:
        """Noise of a given length, the same for the same salt."""
        return np.random.Generator(np.random.PCG64(self._seed(f"noise/{salt}"))).bytes(length)

    def samples(self, shape: tuple[int, int], top: int, salt: str) -> np.ndarray:
        """A picture of noisy tiles, values from 0 to below ``top``: of any size, and small when compressed."""
        rows, columns = shape
        tiles = np.random.Generator(np.random.PCG64(self._seed(f"pixels/{salt}"))).integers(
            0, max(top, 2), (-(-rows // 16), -(-columns // 16))
        )
        tiles = tiles.astype(np.min_scalar_type(max(top, 2) - 1))  # repeated 256 times
        return np.repeat(np.repeat(tiles, 16, axis=0), 16, axis=1)[:rows, :columns]

    # ---- how

    def _once(self, original: str, make: object) -> str:
        known = self.given.get(original)
        if known is not None:
            return known
        shown = original
        for attempt in range(_TRIES):
            shown = make(original, attempt)  # type: ignore[operator]  # one of the makers below
            if shown != original and shown not in self._taken:
                break
        self.given[original] = shown
        self._taken.add(shown)
        return shown

    def _seed(self, text: str) -> int:
        return int.from_bytes(hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")[:16])

    def _draws(self, text: str, attempt: int) -> Iterator[int]:
        count = 0
        named = text.encode("utf-8", "surrogatepass")
        if len(named) > _LONG:
            named = hashlib.sha256(named).digest()  # each block would read all of it again
        while True:
            block = hmac.digest(self._key, f"{attempt}/{count}/".encode() + named, hashlib.sha256)
            yield from (int.from_bytes(block[at : at + 4]) for at in range(0, 32, 4))
            count += 1

    def _word(self, original: str, attempt: int) -> str:
        draws = self._draws(original, attempt)
        return "".join(
            _like(char, next(draws), first=place == 0) if char.isalnum() else char
            for place, char in enumerate(original)
        )

    def _uid(self, original: str, attempt: int) -> str:
        length = max(len(original), 9)
        draws = self._draws(original, attempt)
        digits = "".join(str(next(draws) % 9 + 1) for _ in range(length - 5))
        return f"2.25.{digits}" if length <= 44 else f"2.25.{digits[:30]}.{digits[31:]}"


def _like(char: str, draw: int, *, first: bool) -> str:
    """Replace a character by one of the same class."""
    if char.isascii():
        if char.isdigit():
            return str(draw % 9 + 1) if first and char != "0" else str(draw % 10)
        letter = _UPPER[draw % 26]
        return letter if char.isupper() else letter.lower()
    if char.isdigit():
        return "0"
    return _HANZI[draw % len(_HANZI)] if "\u3400" <= char <= "\u9fff" or ord(char) > 0xFFFF else "x"
