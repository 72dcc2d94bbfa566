"""Find the film links in what the user gave: a link, a shared text, a picture, a PDF, a saved page, or standard input."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scraper.core import apps, link, spelling
from scraper.core.errors import (
    AppOnly,
    EmptyFile,
    EqualLinks,
    FolderGiven,
    MiniProgramOnly,
    NoSuchFile,
    UnreadableFile,
    WechatOnly,
)
from scraper.core.link import Kind as LinkKind
from scraper.core.link import ShareLink
from scraper.core.questions import FILM_LINK
from scraper.core.settings import Settings
from scraper.core.text import decode_text
from scraper.registry import catalogue
from scraper.source import candidates, saved_page
from scraper.source.candidates import distinct, identity
from scraper.source.film_codes import decode
from scraper.source.kinds import IMAGES, PAGES, TEXTS, holds_files, is_file, is_folder

MAX_TEXT = 4 * 2**20  # bytes of a text file
MAX_PAGE = 128 * 2**20  # a viewer's page lists some thousand images; saved as one file it holds them
Stdin = Callable[[], str | Path]
Choose = Callable[[Sequence[str]], "str | None"]
"""Asks a person for the number, from 1, of one of several links; None where nobody can be asked."""


@dataclass(frozen=True, slots=True)
class SourceLinks:
    """The links in one SOURCE, one for each film, in order.

    ``unread`` are its pages that could not be read.
    """

    links: tuple[ShareLink, ...]
    unread: tuple[int, ...] = ()


def _nobody(links: Sequence[str]) -> str | None:
    del links
    return None


def read(source: str, settings: Settings, stdin: Stdin, ask: Choose = _nobody) -> ShareLink:
    """The first share link in a SOURCE of the command line; see ``read_all``."""
    return read_all(source, settings, stdin, ask).links[0]


def read_all(source: str, settings: Settings, stdin: Stdin, ask: Choose = _nobody) -> SourceLinks:
    """Every film's link in a SOURCE of the command line; at least one.

    Args:
        source: a file, a link, a text with links in it, or ``-``.
        settings: the time budget for reading codes.
        stdin: returns the text of standard input, or a file with the picture or document that came there.
        ask: asks which of several equally likely links is the film's.

    Raises:
        NoSuchFile, UnreadableFile: wrong file. NoLink: no link in it. UnusableLink: WeChat's own, or a broken address.
    """
    if source == "-":
        given = stdin()
        return (
            _in_file(given, settings, ask)
            if isinstance(given, Path)
            else _in_text(given, "standard input", settings, ask)
        )
    path = Path(source)
    if holds_files(source):
        return SourceLinks((ShareLink(path.absolute().as_uri()),))
    if is_file(source):
        return _in_file(path, settings, ask)
    if is_folder(source):
        raise FolderGiven(path=source[:120])
    if "://" not in source and (path.suffix.lower() in IMAGES | TEXTS or re.fullmatch(r"[A-Za-z0-9_./\\~-]+", source)):
        looks_like_host = re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?/.*", source) and path.suffix.lower() not in IMAGES
        if not looks_like_host:
            raise NoSuchFile(path=source[:120])
    return _in_text(source, "", settings, ask)


def _in_file(path: Path, settings: Settings, ask: Choose) -> SourceLinks:
    suffix = path.suffix.lower()
    if suffix not in TEXTS:
        decoded = decode(path, settings)
        if picked := _picked(decoded.choice.equal, settings, ask):
            decoded = replace(decoded, links=(picked,))
        refusal = decoded.refusal()
        if refusal is not None:
            raise refusal
        return SourceLinks(decoded.shares(), decoded.unread)
    body = _bytes_of(path)
    if suffix not in PAGES:
        return _in_text(decode_text(body), path.name, settings, ask)
    # a page is UTF-8, stray bytes in it or not: what its scripts say is ASCII
    if page := catalogue.saved_page(body.decode(errors="replace")):
        return SourceLinks((page,))
    saved = saved_page.look(path)
    if saved.has_images:
        return SourceLinks((ShareLink(path.absolute().as_uri()),))
    if saved.address:
        return SourceLinks((_usable(link.parse_url(saved.address)),))
    return SourceLinks((_usable(link.parse(decode_text(body), source=path.name)),))


def _in_text(text: str, source: str, settings: Settings, ask: Choose) -> SourceLinks:
    """Every film's link in a text, each with the code or password that the text gives for it.

    Raises:
        NoLinkInText: none. UnusableLink: a broken address. WechatOnly, MiniProgramOnly: WeChat's own.
        EqualLinks: several that may be the film's, and no way to choose.
    """
    text = spelling.mended(text)
    found = link.links_in(text)
    if len(found) < 2:
        return SourceLinks((_usable(link.parse(text, source=source)),))
    payloads = {address: catalogue.classify(address) for address in found}
    choice = candidates.choose_in_text(list(payloads.values()))
    films = choice.films
    if choice.equal:
        picked = _picked(choice.equal, settings, ask)
        if picked is None:
            raise EqualLinks(source=source or "…", links=", ".join(map(link.redact, choice.equal)))
        films = (picked,)
    if not films:
        return SourceLinks((_usable(link.parse(text, source=source)),))
    films = distinct(payload.link for payload in payloads.values() if payload.link in films)
    spelt = {identity(payload.link or ""): address for address, payload in reversed(payloads.items())}
    answers = _answers_for(text, found)
    return SourceLinks(tuple(replace(link.parse_url(film), answers=answers[spelt[identity(film)]]) for film in films))


def _picked(links: Sequence[str], settings: Settings, ask: Choose) -> str | None:
    """The link that the user chooses among several equally likely ones."""
    number = (settings.answers.get(FILM_LINK.name) or ask(links) or "") if links else ""
    is_one_of_them = re.fullmatch(r"[0-9]{1,3}", number) and 1 <= int(number) <= len(links)
    return links[int(number) - 1] if is_one_of_them else None


def _answers_for(text: str, found: Sequence[str]) -> dict[str, dict[str, str]]:
    """The code or password that a text gives for each of several addresses in it, by address.

    A text's only code is for all of them. Else each follows its address, or, in a text that begins with a code
    and ends without one, precedes it.
    """
    starts: list[int] = []
    for address in found:
        starts.append(text.index(address, starts[-1] + 1 if starts else 0))
    ends = [start + len(address) for start, address in zip(starts, found, strict=True)]
    behind = [link.answers_in_text(a, text[e:s]) for a, e, s in zip(found, ends, [*starts[1:], len(text)], strict=True)]
    before = [link.answers_in_text(a, text[e:s]) for a, e, s in zip(found, [0, *ends[:-1]], starts, strict=True)]
    parts = before if before[0] and not behind[-1] else behind
    every = [answers for answers in {frozenset(answers.items()) for answers in (*before, *behind)} if answers]
    if len(every) == 1:
        parts = [dict(every[0])] * len(found)
    return dict(zip(reversed(found), reversed(parts), strict=True))


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > (MAX_PAGE if path.suffix.lower() in PAGES else MAX_TEXT):
            raise UnreadableFile(path=str(path))
        body = path.read_bytes()
    except OSError as err:
        raise UnreadableFile(path=str(path)) from err
    if not body:
        raise EmptyFile(path=str(path))
    return body


def _usable(found: ShareLink) -> ShareLink:
    """Check an address; WeChat's own ones get their own error before anything is sent."""
    inside, app = apps.passed_on(found.url)
    if inside:
        return replace(link.parse_url(inside), answers=found.answers)
    if app:
        raise AppOnly(app=app)
    kind = link.kind_of(found.url)
    if kind is LinkKind.WECHAT_FOLLOW:
        raise WechatOnly(source=found.redacted)
    if kind is LinkKind.WECHAT_MINI_PROGRAM:
        raise MiniProgramOnly(link=found.redacted)
    if kind is LinkKind.WECHAT_OAUTH:
        inner = link.unwrap_oauth(found.url)
        if inner is None:
            raise WechatOnly(source=found.redacted)
        return link.parse(inner)
    return found
