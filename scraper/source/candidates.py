"""Choose the film's link among all codes of a source: by provider, address and the text printed near it; never by order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scraper.core.errors import UnusableLink
from scraper.core.link import Kind, parse_url
from scraper.registry import catalogue
from scraper.registry.catalogue import Payload
from scraper.source.link_score import AGAINST, Score, score

if TYPE_CHECKING:
    from scraper.source.qr.engines import Polygon
    from scraper.source.qr.reader import Code, Suspect

MARGIN = 1.5  # of scores: less is no difference
UNLIKELY = -1.0  # an address below this opens no film
_WRAPPED = -0.5
_IN_TEXT = -0.75
_LARGER = 1.4  # times the edge of the other code
_WORTH_OF_SIZE, _WORTH_OF_PLACE = 0.5, 0.25
_AS_LARGE = 0.5  # of the chosen code's edge: an unread place from there on may be a code


@dataclass(frozen=True, slots=True)
class LinkChoice:
    """Which links of a source are films.

    Attributes:
        films: the film links, the surest first; may be empty.
        equal: equally likely links, none of which was chosen.
        doubtful: a link that may not be the film's, because a code next to it was not read.
    """

    films: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()
    doubtful: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    link: str
    is_owned: bool
    score: Score
    value: float
    is_alone: bool
    polygon: Polygon
    page: int

    @property
    def is_viewer(self) -> bool:
        return self.is_owned or self.score.is_viewer_shaped


def is_certain(text: str) -> bool:
    """Whether a payload is certainly the film's link: a provider owns it, and no word of it speaks against that."""
    found = catalogue.classify(text)
    return found.kind is Kind.FILM_LINK and _is_owned(found, score(found.link or "", ""))


def are_enough(texts: Iterable[str]) -> bool:
    """Whether one of the payloads is clearly a film's, so that only an unread code is worth a further search."""
    return any(
        found.link is not None and score(found.link, _beside(text, found.link)).is_viewer_shaped
        for text in texts
        for found in [catalogue.classify(text)]
    )


def choose(codes: Sequence[tuple[Code, Payload]], suspects: Sequence[Suspect] = ()) -> LinkChoice:
    """Choose the film links.

    Args:
        codes: every code with its payload.
        suspects: places that look like a code and could not be read.
    """
    candidates = _candidates(codes)
    for tier in (
        [candidate for candidate in candidates if candidate.is_owned],
        [candidate for candidate in candidates if candidate.is_viewer],
    ):
        if tier:
            return LinkChoice(films=tuple(dict.fromkeys(candidate.link for candidate in tier)))
    likely = _distinct(
        candidate for candidate in candidates if candidate.value >= UNLIKELY and candidate.score.may_open_a_film
    )
    if not likely:
        return LinkChoice()
    first = likely[0]
    rivals = [candidate for candidate in likely[1:] if _lead(first, candidate, codes) < MARGIN]
    if rivals:
        return LinkChoice(equal=tuple(candidate.link for candidate in (first, *rivals)))
    if any(_may_be_a_code(suspect, first) for suspect in suspects):
        return LinkChoice(doubtful=first.link)
    return LinkChoice(films=(first.link,))


def choose_in_text(payloads: Sequence[Payload]) -> LinkChoice:
    """Choose the film links among the addresses of a text, without positions on paper.

    Equally likely links of one host are several films of one viewer: whoever wrote the text gave all of them.
    """
    from scraper.source.qr.reader import Code

    choice = choose([(Code(payload.link or "", "", ()), payload) for payload in payloads])
    hosts = {urlsplit(link).hostname for link in choice.equal}
    return LinkChoice(films=choice.equal) if len(hosts) == 1 else choice


def _is_owned(payload: Payload, found: Score) -> bool:
    """Whether a provider owns the page; wide routes may also match a host's other pages, such as appointments."""
    return payload.provider is not None and found.for_film + found.against > AGAINST


def _candidates(codes: Sequence[tuple[Code, Payload]]) -> list[_Candidate]:
    """All links except on hosts that never show films, the likeliest first."""
    out = []
    for code, payload in codes:
        if payload.link is None:
            continue
        found = score(payload.link, _beside(code.text, payload.link))
        is_owned = _is_owned(payload, found)
        if found.never and not is_owned:
            continue
        value = found.value
        value += _WRAPPED if payload.kind is Kind.WECHAT_OAUTH else 0.0
        value += 0.0 if payload.alone else _IN_TEXT
        out.append(_Candidate(payload.link, is_owned, found, value, payload.alone, code.polygon, code.page))
    return sorted(out, key=_order)


def _order(candidate: _Candidate) -> tuple[bool, bool, float, int, tuple[int, int]]:
    is_owned_in_text = candidate.is_owned and not candidate.is_alone
    return not candidate.is_owned, is_owned_in_text, -candidate.value, candidate.page, _top_left(candidate.polygon)


def _distinct(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    return list({candidate.link: candidate for candidate in reversed(list(candidates))}.values())[::-1]


def _beside(text: str, address: str) -> str:
    return text.replace(address, " ")


def _lead(one: _Candidate, other: _Candidate, codes: Sequence[tuple[Code, Payload]]) -> float:
    """How much likelier the first link is a film; positions on paper decide only where the addresses differ at all."""
    lead = one.value - other.value
    larger = max(_edge(one.polygon), 1.0) / max(_edge(other.polygon), 1.0)
    if larger >= _LARGER:
        lead += _WORTH_OF_SIZE
    elif larger <= 1 / _LARGER:
        lead -= _WORTH_OF_SIZE
    strangers = [code for code, payload in codes if payload.link is None and "QR" in code.symbology]
    near, far = (_nearest(candidate, strangers) for candidate in (one, other))
    if near is not None and far is not None and near != far:
        lead += _WORTH_OF_PLACE if near > far else -_WORTH_OF_PLACE
    return lead


def _nearest(candidate: _Candidate, strangers: Sequence[Code]) -> float | None:
    """Distance to the nearest code without a link on the same page."""
    x, y = _middle(candidate.polygon)
    middles = [_middle(code.polygon) for code in strangers if code.page == candidate.page]
    return min((hypot(x - right, y - below) for right, below in middles), default=None)


def _may_be_a_code(suspect: Suspect, chosen: _Candidate) -> bool:
    return suspect.page == chosen.page and _edge(suspect.polygon) >= _AS_LARGE * _edge(chosen.polygon)


def _edge(polygon: Polygon) -> float:
    """Square root of the area of the bounding box."""
    xs, ys = ([point[axis] for point in polygon] or [0] for axis in (0, 1))
    return sqrt((max(xs) - min(xs)) * (max(ys) - min(ys)))


def _middle(polygon: Polygon) -> tuple[float, float]:
    count = max(len(polygon), 1)
    return sum(x for x, _ in polygon) / count, sum(y for _, y in polygon) / count


def _top_left(polygon: Polygon) -> tuple[int, int]:
    return min((y for _, y in polygon), default=0), min((x for x, _ in polygon), default=0)


def distinct(addresses: Iterable[str | None]) -> tuple[str, ...]:
    """Each link once, however it is spelt, in order."""
    byidentity: dict[str, str] = {}
    for address in addresses:
        if address:
            byidentity.setdefault(identity(address), address)
    return tuple(byidentity.values())


def identity(address: str) -> str:
    """The common identity of all spellings of a link."""
    try:
        found = parse_url(address)
    except UnusableLink:
        return address
    return found.origin + found.target
