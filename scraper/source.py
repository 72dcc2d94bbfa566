"""What the user gave → the film's link: a link, a share text, a photo, a PDF, a saved text file, or standard input."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from scraper import candidates, link, picture, qr, registry
from scraper.candidates import Choice
from scraper.errors import (
    CloudfilmError,
    DoubtfulLink,
    EqualLinks,
    MiniProgramOnly,
    NoFilmLink,
    NoLink,
    NoSuchFile,
    NotWritable,
    UnreadableFile,
    WechatOnly,
)
from scraper.link import Kind, ShareLink
from scraper.model import FILM_LINK, PASSWORD
from scraper.registry import Meaning
from scraper.settings import Settings

_PICTURES = (
    "jpg",
    "jpeg",
    "png",
    "webp",
    "bmp",
    "tif",
    "tiff",
    "heic",
    "heif",
    "gif",
    "avif",
    "jp2",
    "jxl",
    "svg",
)
_DOCUMENTS = ("pdf", "dcm", "docx", "pptx", "xlsx", "odt")
IMAGES = frozenset(f".{name}" for name in _PICTURES + _DOCUMENTS)
PAGES = frozenset((".html", ".htm"))
TEXTS = frozenset((".txt", ".url", ".webloc", ".md")) | PAGES
MAX_TEXT = 4 * 2**20  # bytes of a text file
MAX_PAGE = 32 * 2**20  # a viewer's page lists some thousand images


@dataclass(frozen=True, slots=True)
class Decoded:
    """The codes of one file, what each means, and the film's link among them (None: there is none, or no surest one).

    ``choice`` has every film link, and the links that are left equal. ``frames_left_out`` is how many frames of an
    animation without a link were not looked at.
    """

    path: Path
    codes: tuple[tuple[qr.Code, Meaning], ...]
    link: str | None
    reading: qr.Reading
    seconds: float
    frames_left_out: int = 0
    choice: Choice = field(default_factory=Choice)

    @property
    def said(self) -> dict[str, str]:
        """The code or the password that the chosen link's own payload names beside it."""
        texts = [code.text for code, one in self.codes if one.link == self.link and not one.alone]
        return link.said_beside(self.link or "", texts[0]) if texts else {}

    def refusal(self) -> CloudfilmError | None:
        """Why there is no link, as the error that the command ends with."""
        if self.link is not None:
            return None
        return self._unsure() or self._without_a_link()

    def _unsure(self) -> CloudfilmError | None:
        """The error where links were read and none is the film's for sure."""
        name = self.path.name
        if self.choice.equal:
            return EqualLinks(source=name, links=", ".join(map(link.redact, self.choice.equal)))
        if self.choice.doubtful:
            return DoubtfulLink(source=name, link=link.redact(self.choice.doubtful))
        links = dict.fromkeys(meaning.link for _, meaning in self.codes if meaning.link)
        return NoFilmLink(source=name, links=", ".join(map(link.redact, links))) if links else None

    def _without_a_link(self) -> CloudfilmError:
        kinds = {meaning.kind for _, meaning in self.codes}
        if Kind.WECHAT_FOLLOW in kinds or Kind.WECHAT_OAUTH in kinds:
            return WechatOnly(source=self.path.name)
        if Kind.WECHAT_MINI_PROGRAM in kinds:
            return MiniProgramOnly(link=self.path.name)
        return NoLink(source=self.path.name)


def decode(path: Path, settings: Settings, reader: qr.Reader | None = None) -> Decoded:
    """Read the codes of a picture or a PDF and choose the film's link.

    Args:
        path: the picture or PDF.
        settings: the time budget.
        reader: reads several files with one helper process; by default one of its own.

    Raises:
        NoSuchFile, UnreadableFile: there is nothing to read.
    """
    started = time.monotonic()
    if not path.is_file():
        raise NoSuchFile(path=str(path))
    with ExitStack() as stack:
        if reader is None:
            reader = stack.enter_context(qr.Reader(password=settings.answers.get(PASSWORD.name, "")))
        reading = reader.read(
            path,
            budget_s=settings.decode_timeout_s,
            certain=candidates.is_certain,
            enough=candidates.are_enough,
        )
    codes = tuple((code, registry.meaning(code.text, code.symbology)) for code in reading.codes)
    choice = candidates.choose(codes, reading.suspects)
    chosen = choice.films[0] if choice.films else None
    left_out = picture.frames_left_out(path) if chosen is None else 0
    return Decoded(path, codes, chosen, reading, time.monotonic() - started, left_out, choice)


def annotate(found: Decoded, out: Path, *, password: str = "") -> None:
    """Draw what was seen on a copy of the picture.

    Raises:
        UnreadableFile: ``out`` names no kind of picture. NotWritable: it can't be written.
    """
    try:
        qr.annotate(found.path, found.reading, out, password=password)
    except OSError as err:
        raise NotWritable(path=str(out)) from err


def read(
    source: str,
    settings: Settings,
    stdin: Callable[[], str],
    ask: Callable[[Sequence[str]], str | None] = lambda links: None,
) -> ShareLink:
    """The share link that a SOURCE of the command line stands for.

    Args:
        source: a file, a link, a text with a link in it, or ``-``.
        settings: the time budget for reading codes.
        stdin: gives the text of standard input.
        ask: asks a person for the number of one of several links, from 1; None where nobody can be asked.

    Raises:
        NoSuchFile, UnreadableFile: wrong file. NoLink: no link in it. UnusableLink: WeChat's own, or no sound address.
    """
    if source == "-":
        return _usable(link.parse(stdin(), source="standard input"))
    path = Path(source)
    if is_file(source):
        if path.suffix.lower() in TEXTS:
            body = _bytes_of(path)
            # a page is UTF-8, stray bytes in it or not: what its scripts say is ASCII
            page = (
                registry.saved_page(body.decode(errors="replace")) if path.suffix.lower() in PAGES else None
            )
            return page or _usable(link.parse(link_text(body), source=path.name))
        decoded = _picked(decode(path, settings), settings, ask)
        refusal = decoded.refusal()
        if refusal is not None:
            raise refusal
        return replace(link.parse(decoded.link or "", source=path.name), said=decoded.said)
    if "://" not in source and (
        path.suffix.lower() in IMAGES | TEXTS or re.fullmatch(r"[A-Za-z0-9_./\\~-]+", source)
    ):
        looks_like_host = (
            re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?/.*", source) and path.suffix.lower() not in IMAGES
        )
        if not looks_like_host:
            raise NoSuchFile(path=source[:120])
    return _usable(link.parse(source))


def _picked(decoded: Decoded, settings: Settings, ask: Callable[[Sequence[str]], str | None]) -> Decoded:
    """The same with the link that the user names among several that are left equal."""
    links = decoded.choice.equal
    if not links:
        return decoded
    number = settings.answers.get(FILM_LINK.name) or ask(links) or ""
    if not re.fullmatch(r"[0-9]{1,3}", number) or not 1 <= int(number) <= len(links):
        return decoded
    return replace(decoded, link=links[int(number) - 1])


def is_file(given: str) -> bool:
    """Is the SOURCE a file that is there."""
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # a long share text is no file name
        return False


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > (MAX_PAGE if path.suffix.lower() in PAGES else MAX_TEXT):
            raise UnreadableFile(path=str(path))
        return path.read_bytes()
    except OSError as err:
        raise UnreadableFile(path=str(path)) from err


def link_text(body: bytes) -> str:
    """A text file's content: UTF-8, UTF-16 with its mark, else GB18030."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body.decode("utf-16", errors="replace")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("gb18030", errors="replace")


def _usable(found: ShareLink) -> ShareLink:
    """WeChat's own addresses are named for what they are before anything is sent."""
    kind = link.kind_of(found.url)
    if kind is Kind.WECHAT_FOLLOW:
        raise WechatOnly(source=found.redacted)
    if kind is Kind.WECHAT_MINI_PROGRAM:
        raise MiniProgramOnly(link=found.redacted)
    if kind is Kind.WECHAT_OAUTH:
        inner = link.unwrapped(found.url)
        if inner is None:
            raise WechatOnly(source=found.redacted)
        return link.parse(inner)
    return found
