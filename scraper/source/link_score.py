"""Score an address by its words and shape: how likely it opens a film, and not a shop, a survey or a home page."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from urllib.parse import unquote

from scraper.core import link
from scraper.core.errors import UnusableLink
from scraper.core.link import ShareLink

MOST_FOR_FILM, MOST_AGAINST = 9.0, -12.0
CLEAR = 4.5  # from which an address with a token of its own is clearly a viewer's or a report's
AGAINST = -2.0  # of words together: they say that it is something else
HOME_PAGE = -4.0
SELDOM = -4.0
_NO_PARAMETERS = -0.5
_PART = re.compile(r"[/?&#;,!@|\\\s]+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_UID = re.compile(r"(?<!\d)\d++(?:\.\d++){4}")
_TOKEN_LETTERS = re.compile(r"[\w.~+/=%-]+")
_ORIGINS = frozenset(("from", "source", "channel", "utm_source", "utm_medium", "utm_campaign", "spm"))
"""Parameters that tell where a link stood, and nothing of what it opens."""
_BARE_PAGE = re.compile(r"/?(?:index|default|home|main)?(?:\.(?:html?|php|jsp|aspx?|do))?/?", re.I)


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an address.

    ``value`` is higher for a film; ``for_film`` and ``against`` are its two parts. ``token`` tells how much of it is one
    study's own (0 nothing, 2 a long token). ``never`` names the kind of host that never shows films.
    """

    value: float
    for_film: float
    against: float
    token: float
    is_home_page: bool = False
    never: str = ""

    @property
    def may_open_a_film(self) -> bool:
        """Whether no host, home page or word excludes it."""
        return not (self.never or self.is_home_page or self.for_film + self.against <= AGAINST)

    @property
    def is_viewer_shaped(self) -> bool:
        """Whether the address is clearly a viewer's, a report's or a share's, with its own token."""
        return not self.never and self.value >= CLEAR and self.token > 0 and self.for_film + self.against >= 2.0


@dataclass(frozen=True, slots=True)
class _Words:
    inside: tuple[tuple[str, float], ...]
    start: tuple[tuple[str, float], ...]
    whole: dict[str, float]
    chinese: dict[str, float]
    hosts: dict[str, str]
    seldom: frozenset[str]


@cache
def _words() -> _Words:
    table = tomllib.loads(files("scraper.source").joinpath("candidates.toml").read_text(encoding="utf-8"))
    return _Words(
        tuple(table["inside"].items()),
        tuple(table["start"].items()),
        table["whole"],
        table["chinese"],
        {host: kind for kind, hosts in table["hosts"].items() for host in hosts},
        frozenset(host for hosts in table["seldom"].values() for host in hosts),
    )


def score(address: str, context: str = "") -> Score:
    """Score one address; ``context`` is the rest of the code's text."""
    try:
        found = link.parse_url(address)
    except UnusableLink:
        return Score(MOST_AGAINST, 0.0, MOST_AGAINST, 0.0, never="unusable")
    if kind := host_kind(found.host):
        return Score(MOST_AGAINST, 0.0, MOST_AGAINST, 0.0, never=kind)
    worth = _worths(found, context)
    for_film = min(sum(value for value in worth.values() if value > 0), MOST_FOR_FILM)
    against = max(sum(value for value in worth.values() if value < 0), MOST_AGAINST)
    token = max((_token(piece) for piece, _ in _pieces(found)), default=0.0)
    is_home = is_home_page(found)
    value = for_film + against + token
    value += HOME_PAGE if is_home else 0.0 if token or found.parts.query else _NO_PARAMETERS
    value += SELDOM if any(_is_of(found.host, host) for host in _words().seldom) else 0.0
    value += 0.5 if link.is_address(found.host) or found.parts.port not in (None, 80, 443) else 0.0
    return Score(value, for_film, against, token, is_home)


def host_kind(host: str) -> str:
    """Name the kind of host that never shows films (``payment``); empty for every other."""
    labels = host.rstrip(".").split(".")
    names = (".".join(labels[first:]) for first in range(len(labels)))
    return next((kind for name in names if (kind := _words().hosts.get(name, ""))), "")


def is_home_page(found: ShareLink) -> bool:
    """Whether an address is a site's home page: no significant path, no parameter, no fragment."""
    return bool(_BARE_PAGE.fullmatch(found.path)) and not found.parts.query and not found.parts.fragment.strip("/!")


def _is_of(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


def _pieces(found: ShareLink) -> list[tuple[str, bool]]:
    """The parts of path, query and fragment, and whether each is a parameter's name."""
    out = []
    for part in _PART.split(unquote(unquote(found.target))):
        name, equals, value = part.partition("=")
        if equals and name.isascii() and len(name) <= 40:
            out += [(name, True)] if name.lower() in _ORIGINS else [(name, True), (value, False)]
        else:
            out.append((part, False))
    return [(piece, is_name) for piece, is_name in out if piece]


def _worths(found: ShareLink, context: str) -> dict[str, float]:
    """The worth of each distinct word."""
    worth: dict[str, float] = {}
    for label in re.split(r"[.-]", found.host):
        worth.update(_of_piece(label))
    for piece, is_name in _pieces(found):
        if is_name or not _token(piece):
            for word, value in _of_piece(piece).items():
                # what a parameter is called says less against: films have an appId and an orderNo as well
                worth[word] = max(value / 2, -2.0) if is_name and value < 0 else value
    whole = unquote(found.target) + context
    worth.update({word: value for word, value in _words().chinese.items() if word in whole})
    return worth


def _of_piece(piece: str) -> dict[str, float]:
    words = _words()
    lower = piece.lower()
    found = {word: value for word, value in words.inside if word in lower}
    for word in {*(part.lower() for part in _WORD.findall(piece)), *re.split(r"[^a-z0-9]+", lower)}:
        if word in words.whole and not any(word in other for other in found):
            found[word] = words.whole[word]
        elif not found:
            found.update({start: value for start, value in words.start if word.startswith(start)})
    return found


def _token(piece: str) -> float:
    """How much a part of an address looks like one study's own: 0 a word, 2 a long token."""
    if _UID.search(piece):
        return 2.0
    letters = sum(char.isalpha() for char in piece)
    if not _TOKEN_LETTERS.fullmatch(piece) or "://" in piece:
        return 0.0
    if not letters:
        return 0.0 if sum(char.isdigit() for char in piece) < 5 else 1.0
    return _lettered_token(piece)


def _lettered_token(piece: str) -> float:
    has_digits = any(char.isdigit() for char in piece)
    words = _WORD.findall(piece)
    spelt = [word for word in words if len(word) > 2]
    is_worded = sum(map(len, spelt)) > 0.75 * len(piece) and all(len(word) > 3 for word in spelt)
    if is_worded or (not has_digits and len(piece) < 8 and (piece.islower() or piece.istitle())):
        return 0.0
    is_mixed = has_digits or len(words) > len(piece) / 4
    if len(piece) >= 6:
        return 2.0 if len(piece) >= 16 else 1.5 if is_mixed else 0.5
    return 0.5 if has_digits else 0.0
