"""Counts of images that a page states: ``(12张)``, ``共12幅``, ``Im: 1/12``, ``12 images``; read from left to right, once.

What stands around a number says what it is. A running counter (``1/12``) states its second number; a number in square
brackets is a series' own number where another one stands in round ones; dates, sizes, doses and times are no counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from scraper.capture.drive.wording import is_never

MOST: Final = 99_999  # images of one study
LONGEST: Final = 20_000  # characters that are read
LONGEST_LINE: Final = 80  # characters of a line that is an entry of a list, and no sentence
_NUMBER: Final = re.compile(r"(?<!\d)(?<!\d[.,:])(?<![.\-–—+*×%~])\d{1,5}(?![\d%])")
# What stands right behind a number.
_UNIT: Final = re.compile(
    r"\s*+(?:[个份]\s*+)?(?:张|幅|帧|枚|图像|影像|图片|照片|影象|切片|slices?\b|images?\b|imgs?\b|ims?\b|frames?\b|instances?\b"
    r"|pictures?\b|pics?\b|dicoms?\b)(?!\s*[/每])",
    re.IGNORECASE,
)
_OTHER_UNIT: Final = re.compile(
    r"\s*(?:mm|cm|ms|kv|ma|mgy|gy|ml|mb|kb|gb|s\b|m\b|hu\b|个|组|序列|系列|份|次|页|项|条|人|岁|天|月|日|年|号|元|层|排|度|°|倍|x\b"
    r"|series\b|stud|exams?\b|pages?\b|years?\b|days?\b|bit|[x×*]\s*\d|[:.,\-–—~]\d|(?:am|pm)\b)",
    re.IGNORECASE,
)
_OVER: Final = re.compile(r"\s*+(?:[张幅帧]\s*+)?(?:/|／|\bof\b|\bout\s++of\b)\s*+(?:共\s*+)?(?=\d)", re.IGNORECASE)
# What stands right before a number.
_RUNNING: Final = re.compile(
    r"(?:第|序号|编号|no\.?|#|\bim|\bimg|\bimage|\bslice|\bframe|\bimage\s++number)\s*+(?:[:：=]\s*+)?$", re.IGNORECASE
)
_LABEL: Final = re.compile(
    r"(?:数量|张数|幅数|帧数|图像数|影像数|图片数|图数|总数|总计|合计|共计|共有|共|\bimages|\bslices|\bframes|\binstances|\bimgs"
    r"|\btotal(?:\s++(?:of|images|slices))?|\bcount|\b(?:image|slice|frame|instance|img)\s*+count|\bnumber\s++of\s++(?:images|slices|frames)"
    r"|\b(?:no|nr|num)\.?\s++of\s++(?:images|slices|frames))\s*+(?:[:：=]\s*+)?$",
    re.IGNORECASE,
)
_OF_ALL: Final = re.compile(
    r"全部|所有|总|共|合计|检查|\b(?:all|total|study|exam)", re.IGNORECASE
)  # an entry of the study
_ROUND: Final = re.compile(r"[(]\s*$")
_SQUARE: Final = re.compile(r"[\[【「{]\s*$")
_CLOSING: Final = {"(": ")", "[": "]", "【": "】", "「": "」", "{": "}"}
_YEARS: Final = range(1900, 2101)
# A running counter and nothing else: it stands beside the picture, and is no entry of a list.
_BARE: Final = re.compile(
    r"(?:第|im(?:g|age)?|slice|frame|no\.?|[:：\s])*+\d{1,5}\s*+(?:[张幅帧]\s*+)?[/／]\s*+(?:共\s*+)?\d{1,5}\s*+[张幅帧]?",
    re.IGNORECASE,
)


class Certainty(IntEnum):
    """How sure it is that a number counts images."""

    SQUARE = 1  # [12]: mostly the series' own number
    ROUND = 2  # (12)
    LABELLED = 3  # 共12, images: 12, (12张), 12 slices
    RUNNING = 4  # 1/12


@dataclass(frozen=True, slots=True)
class StatedCount:
    """A number of images that a text states."""

    total: int
    strength: Certainty

    @property
    def is_sure(self) -> bool:
        """Whether its own words say that it counts images; a bare number in brackets may count anything."""
        return self.strength >= Certainty.LABELLED


def counts(text: str) -> Iterator[StatedCount]:
    """Every count of images that the text states, in order."""
    plain = unicodedata.normalize("NFKC", text[:LONGEST])
    end = 0
    for match in _NUMBER.finditer(plain):
        if match.start() < end:
            continue  # the second number of a counter
        head, tail = plain[max(0, match.start() - 24) : match.start()], plain[match.end() :][:24]
        if over := _over(plain, match.end()):
            total, end = over
            if head.rstrip()[-1:] not in ("/", ".", "-") and 0 < int(match[0]) <= total <= MOST:
                yield StatedCount(total, Certainty.RUNNING)
            continue
        strength = _strength(int(match[0]), head, tail)
        if strength is not None:
            yield StatedCount(int(match[0]), strength)


def count_of(text: str) -> StatedCount | None:
    """The count that one entry of a list states: the surest, of equally sure ones the last; None where it states none."""
    best: StatedCount | None = None
    for count in counts(text):
        if best is None or count.strength >= best.strength:
            best = count
    return best


def totals(text: str) -> set[int]:
    """The second numbers of the running counters (``1/12``) that a page shows."""
    return {count.total for line in text.splitlines() for count in counts(line) if count.strength is Certainty.RUNNING}


def entries(shown: Sequence[str], page: str) -> list[int]:
    """How many images the entries of a page's series list say that there are.

    Args:
        shown: the wording of each entry that is known by its markup.
        page: the page's text, whose lines stand for the entries where none of those states a count.

    Returns:
        The count of each; that of the study, the sum of all others, is not among them.
    """
    rows = [(text, count) for text in shown if (count := count_of(text))]
    listed = {count.total for _, count in rows if count.strength is not Certainty.RUNNING}
    found = [(text, count) for text, count in rows if count.total not in listed or not _is_counter(text, count)]
    if found:
        return _without_total([count.total for _, count in found], [text for text, _ in found])
    lines = [line for line in page.splitlines() if len(line) <= LONGEST_LINE and not is_never(line)]
    stated = [count for line in lines if (count := count_of(line))]
    sure = [count.total for count in stated if count.strength is Certainty.LABELLED]
    bare = [count.total for count in stated if count.strength is Certainty.ROUND]
    return _without_total(sure or (bare if len(bare) > 1 else []))


def _without_total(counts: list[int], texts: Sequence[str] = ()) -> list[int]:
    """Without the sum of all others: it stands above them or below. Between them, a series has as many by chance.

    Args:
        counts: what entries or lines state.
        texts: the entries' wording: that of a total says so, and those of series do not.
    """
    is_worded = [_OF_ALL.search(text) is not None for text in texts]
    for at in (0, -1):
        if len(counts) > 2 and 2 * counts[at] == sum(counts) and (not texts or (is_worded[at] and not all(is_worded))):
            del counts[at]
            break
    return counts


def _is_counter(text: str, count: StatedCount) -> bool:
    """Whether an element says only which image of how many is shown."""
    return count.strength is Certainty.RUNNING and _BARE.fullmatch(text.strip()) is not None


def largest(page: str) -> int:
    """The largest number of images that a line of the page states in so many words; 0 where none does."""
    lines = (line for line in page.splitlines() if len(line) <= LONGEST_LINE and not is_never(line))
    return max((count.total for line in lines for count in counts(line) if count.is_sure), default=0)


def of_all(page: str) -> list[int]:
    """The numbers of images that lines of the page state of all of them together, in so many words."""
    lines = (line for line in page.splitlines() if len(line) <= LONGEST_LINE and not is_never(line))
    return [
        count.total
        for line in lines
        if _OF_ALL.search(line)
        for count in counts(line)
        if count.strength is Certainty.LABELLED
    ]


def _over(plain: str, at: int) -> tuple[int, int] | None:
    """The number that a counter runs up to, and where it ends; None where no counter begins here."""
    bar = _OVER.match(plain, at)
    if bar is None:
        return None
    total = re.compile(r"\d{1,5}").match(plain, bar.end())
    if total is None:
        return None
    rest = plain[total.end() : total.end() + 3]
    if re.match(r"\s*/|[\d.:%\-]\d|\d|%", rest):  # a date, a fraction, a time
        return 0, total.end()
    if re.match(r"0\d", total[0]) or _is_other(plain[total.end() : total.end() + 12]):
        return 0, total.end()
    return int(total[0]), total.end()


def _is_other(tail: str) -> bool:
    """Whether the number counts something that is no image."""
    return _UNIT.match(tail) is None and _OTHER_UNIT.match(tail) is not None


def _strength(number: int, head: str, tail: str) -> Certainty | None:
    """How surely the number counts images; None: it does not."""
    if not 0 < number <= MOST or _is_other(tail):
        return None
    before, bracket = _without_bracket(head)
    if _UNIT.match(tail):
        is_place = re.search(r"第\s*$", head) is not None
        return None if is_place else Certainty.LABELLED
    if _LABEL.search(head) or (bracket and _LABEL.search(before)):
        return Certainty.LABELLED
    if _RUNNING.search(head):
        return None
    closes = bracket and tail.lstrip().startswith(_CLOSING[bracket])
    if not closes or number in _YEARS:
        return None
    return Certainty.ROUND if bracket == "(" else Certainty.SQUARE


def _without_bracket(head: str) -> tuple[str, str]:
    """What stands before the bracket that the number stands in, and the bracket; the text itself where it stands in none."""
    if _ROUND.search(head) or _SQUARE.search(head):
        stripped = head.rstrip()
        return stripped[:-1], stripped[-1]
    return head, ""
