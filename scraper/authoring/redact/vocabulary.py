"""Words that describe how a page works and nothing of a person: they stay where everything else is replaced."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import Final

_LISTS: Final = tomllib.loads(files("scraper.authoring.redact").joinpath("words.toml").read_text(encoding="utf-8"))
PLAIN: Final = frozenset(_LISTS["plain"].split())
UNCHANGED_HEADERS: Final = frozenset(_LISTS["kept_headers"].split())
DROPPED_HEADERS: Final = frozenset(_LISTS["dropped_headers"].split())
ON_SCREEN: Final = tuple(sorted(_LISTS["on_screen"].split(), key=len, reverse=True))
_WORDS_ON_SCREEN: Final = frozenset(ON_SCREEN)
_LENGTHS: Final = sorted({len(word) for word in ON_SCREEN})
PERSONAL_KEY: Final = re.compile(
    r"patient|(?<!file)(?<!host)(?<!class)(?<!tag)(?<!node)(?<!user)name|realname|username|^xm|xingming|phone|mobile|^tel|birth|idcard|"
    r"id_?no$|identity|sfz|sex|gender|(?:^|_|patient)age$|addr|hospital|doctor|physician|operator|referring|diagnos|finding|impression|"
    r"conclusion|remark|comment|descri|password|passwd|pwd|secret|token|signature|^sign$|ticket|accession|^mrn|medicalrecord|"
    r"姓名|性别|年龄|电话|手机|身份证|生日|住址|医生|诊断",
    re.IGNORECASE,
)
# in a program, where plain "name" is mostly a name of the program's own
PATIENT_KEY: Final = re.compile(
    r"patient|realname|^xm$|xingming|pinyin|phone|mobile|birth|idcard|^sfz|mrn|accession|姓名|电话|手机|身份证|住址",
    re.IGNORECASE,
)
COUNT_KEY: Final = re.compile(
    r"count|total|size|length|width|height|rows|columns?$|cols$|bits|window|cent(?:er|re)|index|offset|bytes|time_?out|port$|version|"
    r"slope|intercept|spacing|thickness|position|orientation|interval|frames?$|max|min$|limit|percent|progress|status|code$|expire",
    re.IGNORECASE,
)
FIELD: Final = re.compile(r"[A-Za-z_$@][A-Za-z_$@.:-]*+\d{0,3}[A-Za-z_$.:-]*+\d{0,2}|[0-9A-Fa-f]{8}")


def is_on_screen(text: str) -> bool:
    """Whether Chinese text consists only of a page's own wording; single characters may be a name."""
    return _is_made_of_words(text) and any(word in text for word in ON_SCREEN if len(word) > 1)


def _is_made_of_words(text: str) -> bool:
    """Whether the text can be split into such words; each position is examined once."""
    reached = [True] + [False] * len(text)
    furthest = 0
    for at in range(len(text)):
        if at > furthest:
            return False
        for length in _LENGTHS if reached[at] else ():
            if text[at : at + length] in _WORDS_ON_SCREEN and at + length <= len(text):
                reached[at + length] = True
                furthest = max(furthest, at + length)
    return bool(text) and reached[-1]


def is_field(key: str) -> bool:
    """Whether a key is a field's name, not a value used as one. DICOM JSON's tags are names."""
    return FIELD.fullmatch(key) is not None or is_on_screen(key)
