"""Read the codes of a picture or a PDF, and choose the film links among them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from scraper.core import link
from scraper.core.errors import (
    CloudfilmError,
    DoubtfulLink,
    EmptyFile,
    EqualLinks,
    MiniProgramOnly,
    NoFilmLink,
    NoLink,
    NoSuchFile,
    NotWritable,
    PagesUnread,
    WechatOnly,
)
from scraper.core.link import Kind as LinkKind
from scraper.core.link import ShareLink
from scraper.core.questions import PASSWORD
from scraper.core.settings import Settings
from scraper.registry import catalogue
from scraper.registry.catalogue import Payload
from scraper.source import candidates
from scraper.source.candidates import LinkChoice, distinct
from scraper.source.qr import reader as qr


@dataclass(frozen=True, slots=True)
class Decoded:
    """The codes of one file, the payload of each, and the films' links among them, in order.

    ``choice`` has the equally likely links, too. ``frames_left_out`` is how many frames of an animation without a link
    were not searched.
    """

    path: Path
    codes: tuple[tuple[qr.Code, Payload], ...]
    links: tuple[str, ...]
    reading: qr.Reading
    seconds: float
    frames_left_out: int = 0
    choice: LinkChoice = field(default_factory=LinkChoice)

    @property
    def link(self) -> str | None:
        """The film's link, the first of several, or None."""
        return self.links[0] if self.links else None

    @property
    def unread(self) -> tuple[int, ...]:
        """The pages that could not be read, or that time was too short for."""
        return self.reading.unread

    def shares(self) -> tuple[ShareLink, ...]:
        """Each film's share link, with the code or password in its own payload."""
        found = []
        for address in self.links:
            texts = [code.text for code, payload in self.codes if payload.link == address and not payload.alone]
            answers = link.answers_in_text(address, texts[0]) if texts else {}
            found.append(replace(link.parse(address, source=self.path.name), answers=answers))
        return tuple(found)

    def refusal(self) -> CloudfilmError | None:
        """Why there is no link, as the error that the command ends with."""
        if self.links:
            return None
        return self._unsure() or self._without_a_link()

    def _unsure(self) -> CloudfilmError | None:
        """The error for links of which none is certainly the film's, or for unreadable pages."""
        name = self.path.name
        if self.choice.equal:
            return EqualLinks(source=name, links=", ".join(map(link.redact, self.choice.equal)))
        if self.choice.doubtful:
            return DoubtfulLink(source=name, link=link.redact(self.choice.doubtful))
        if self.unread:
            return PagesUnread(source=name, pages=", ".join(map(str, self.unread)))
        links = dict.fromkeys(payload.link for _, payload in self.codes if payload.link)
        return NoFilmLink(source=name, links=", ".join(map(link.redact, links))) if links else None

    def _without_a_link(self) -> CloudfilmError:
        kinds = {payload.kind for _, payload in self.codes}
        if LinkKind.WECHAT_FOLLOW in kinds or LinkKind.WECHAT_OAUTH in kinds:
            return WechatOnly(source=self.path.name)
        if LinkKind.WECHAT_MINI_PROGRAM in kinds:
            return MiniProgramOnly(link=self.path.name)
        return NoLink(source=self.path.name)


def decode(path: Path, settings: Settings, reader: qr.Reader | None = None) -> Decoded:
    """Read the codes of a picture or a PDF and choose the films' links.

    Args:
        path: the picture or PDF.
        settings: the time budget.
        reader: shared by several files; by default a new one.

    Raises:
        NoSuchFile, UnreadableFile: there is nothing to read.
    """
    started = time.monotonic()
    if not path.is_file():
        raise NoSuchFile(path=str(path))
    if not path.stat().st_size:
        raise EmptyFile(path=str(path))
    with ExitStack() as stack:
        if reader is None:
            reader = stack.enter_context(qr.Reader(password=settings.answers.get(PASSWORD.name, "")))
        reading = reader.read(
            path, budget_s=settings.decode_timeout_s, certain=candidates.is_certain, enough=candidates.are_enough
        )
        codes = tuple((code, catalogue.classify(code.text, code.symbology)) for code in reading.codes)
        every = [(code, payload) for code, best in codes for payload in _films_in(code, best)]
        choice = candidates.choose(every, reading.suspects)
        links = _in_reading_order(choice.films, every)
        left_out = 0 if links else reader.frames_left_out(path)
    return Decoded(path, codes, links, reading, time.monotonic() - started, left_out, choice)


def _films_in(code: qr.Code, best: Payload) -> list[Payload]:
    """The payload of a code, and, where its text holds several addresses, of each that a provider owns."""
    owned = [found for found in catalogue.classify_addresses(code.text, code.symbology) if found.provider is not None]
    return owned if len(owned) > 1 else [best]


def _in_reading_order(films: Sequence[str], codes: Sequence[tuple[qr.Code, Payload]]) -> tuple[str, ...]:
    """The films' links in reading order, each once however it is spelt."""
    ordered = sorted(codes, key=lambda read: (not read[1].alone, _reading_order(read)))
    return distinct(payload.link for _, payload in ordered if payload.link in films)


def _reading_order(read: tuple[qr.Code, Payload]) -> tuple[int, int, int]:
    """Page by page, line by line; codes whose middles are less than half a code apart are on one line."""
    code = read[0]
    if not code.polygon:
        return code.page, 0, 0
    rows, columns = [y for _, y in code.polygon], [x for x, _ in code.polygon]
    height = max(max(rows) - min(rows), 1)
    return code.page, round((max(rows) + min(rows)) / 2 / (2 * height)), min(columns)


def annotate(found: Decoded, out: Path, reader: qr.Reader) -> None:
    """Draw what was found on a copy of the picture.

    Raises:
        UnreadableFile: ``out`` names no kind of picture. NotWritable: it can't be written.
    """
    try:
        reader.annotate(found.path, found.reading, out)
    except OSError as err:
        raise NotWritable(path=str(out)) from err


def save_page(found: Decoded, out: Path, reader: qr.Reader) -> tuple[int, int, int]:
    """Save the first page with a code, else the first page, as a picture to be looked at.

    Returns:
        Its number, from 1; its columns and rows, in pixels of its codes' polygons.

    Raises:
        UnreadableFile: it can't be read. NotWritable: ``out`` can't be written.
    """
    numbers = [*(code.page for code, _ in found.codes), *(suspect.page for suspect in found.reading.suspects)]
    number = min(numbers, default=1)
    try:
        return number, *reader.save_page(found.path, number, out)
    except OSError as err:
        raise NotWritable(path=str(out)) from err
