"""What the user gave → the film's link: a link, a share text, a photo, a PDF, a saved text file, or standard input."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from urllib.request import url2pathname

from scraper.core import link, spelling
from scraper.core.errors import (
    CloudfilmError,
    DoubtfulLink,
    EmptyFile,
    EqualLinks,
    FolderGiven,
    MiniProgramOnly,
    NoFilmLink,
    NoLink,
    NoSuchFile,
    NotWritable,
    PagesUnread,
    UnreadableFile,
    UnusableLink,
    WechatOnly,
)
from scraper.core.link import Kind as LinkKind
from scraper.core.link import ShareLink
from scraper.core.model import FILM_LINK, PASSWORD
from scraper.core.settings import Settings
from scraper.core.sniff import HEAD, Kind, sniff
from scraper.core.text import decode_text
from scraper.registry import catalogue
from scraper.registry.catalogue import Meaning
from scraper.source import candidates, qr
from scraper.source.candidates import Choice

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
IMAGES = frozenset(f".{name}" for name in (*_PICTURES, *_DOCUMENTS))
PAGES = frozenset((".html", ".htm"))
TEXTS = frozenset((".txt", ".url", ".webloc", ".md")) | PAGES
MAX_TEXT = 4 * 2**20  # bytes of a text file
MAX_PAGE = 32 * 2**20  # a viewer's page lists some thousand images
_HAR = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"log"\s*:\s*\{')
MOST_LOOKED_AT = 20_000  # files of a folder, until one is a DICOM file
_ARCHIVES = frozenset((Kind.ZIP, Kind.SEVEN_ZIP, Kind.GZIP, Kind.ZSTD, Kind.RAR))
Stdin = Callable[[], str | Path]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The codes of one file, the meaning of each, and the films' links among them, in order.

    ``choice`` has the equally likely links, too. ``frames_left_out`` is how many frames of an animation without a link
    were not searched.
    """

    path: Path
    codes: tuple[tuple[qr.Code, Meaning], ...]
    links: tuple[str, ...]
    reading: qr.Reading
    seconds: float
    frames_left_out: int = 0
    choice: Choice = field(default_factory=Choice)

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
            texts = [code.text for code, meaning in self.codes if meaning.link == address and not meaning.alone]
            said = link.said_beside(address, texts[0]) if texts else {}
            found.append(replace(link.parse(address, source=self.path.name), said=said))
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
        links = dict.fromkeys(meaning.link for _, meaning in self.codes if meaning.link)
        return NoFilmLink(source=name, links=", ".join(map(link.redact, links))) if links else None

    def _without_a_link(self) -> CloudfilmError:
        kinds = {meaning.kind for _, meaning in self.codes}
        if LinkKind.WECHAT_FOLLOW in kinds or LinkKind.WECHAT_OAUTH in kinds:
            return WechatOnly(source=self.path.name)
        if LinkKind.WECHAT_MINI_PROGRAM in kinds:
            return MiniProgramOnly(link=self.path.name)
        return NoLink(source=self.path.name)


@dataclass(frozen=True, slots=True)
class SourceLinks:
    """The links in one SOURCE, one for each film, in order.

    ``unread`` are its pages that could not be read.
    """

    links: tuple[ShareLink, ...]
    unread: tuple[int, ...] = ()


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
            path,
            budget_s=settings.decode_timeout_s,
            certain=candidates.is_certain,
            enough=candidates.are_enough,
        )
        codes = tuple((code, catalogue.meaning(code.text, code.symbology)) for code in reading.codes)
        every = [(code, meaning) for code, best in codes for meaning in _films_in(code, best)]
        choice = candidates.choose(every, reading.suspects)
        links = _in_reading_order(choice.films, every)
        left_out = 0 if links else reader.frames_left_out(path)
    return Decoded(path, codes, links, reading, time.monotonic() - started, left_out, choice)


def _films_in(code: qr.Code, best: Meaning) -> list[Meaning]:
    """The meaning of a code, and, where its text holds several addresses, of each that a provider owns."""
    owned = [found for found in catalogue.meanings(code.text, code.symbology) if found.provider is not None]
    return owned if len(owned) > 1 else [best]


def _in_reading_order(films: Sequence[str], codes: Sequence[tuple[qr.Code, Meaning]]) -> tuple[str, ...]:
    """The films' links in reading order, each once however it is spelt."""
    ordered = sorted(codes, key=lambda read: (not read[1].alone, _reading_order(read)))
    return _distinct(meaning.link for _, meaning in ordered if meaning.link in films)


def _distinct(addresses: Iterable[str | None]) -> tuple[str, ...]:
    by_identity: dict[str, str] = {}
    for address in addresses:
        if address:
            by_identity.setdefault(_identity(address), address)
    return tuple(by_identity.values())


def _reading_order(read: tuple[qr.Code, Meaning]) -> tuple[int, int, int]:
    """Page by page, line by line; codes whose middles are less than half a code apart are on one line."""
    code = read[0]
    if not code.polygon:
        return code.page, 0, 0
    rows, columns = [y for _, y in code.polygon], [x for x, _ in code.polygon]
    height = max(max(rows) - min(rows), 1)
    return code.page, round((max(rows) + min(rows)) / 2 / (2 * height)), min(columns)


def _identity(address: str) -> str:
    """The common identity of all spellings of a link."""
    try:
        found = link.of(address)
    except UnusableLink:
        return address
    return found.origin + found.target


def annotate(found: Decoded, out: Path, reader: qr.Reader) -> None:
    """Draw what was found on a copy of the picture.

    Raises:
        UnreadableFile: ``out`` names no kind of picture. NotWritable: it can't be written.
    """
    try:
        reader.annotate(found.path, found.reading, out)
    except OSError as err:
        raise NotWritable(path=str(out)) from err


Choose = Callable[[Sequence[str]], "str | None"]
"""Asks a person for the number, from 1, of one of several links; None where nobody can be asked."""


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
    page = catalogue.saved_page(body.decode(errors="replace"))
    return SourceLinks((page or _usable(link.parse(decode_text(body), source=path.name)),))


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
    meanings = {address: catalogue.meaning(address) for address in found}
    choice = candidates.choose_in_text(list(meanings.values()))
    films = choice.films
    if choice.equal:
        picked = _picked(choice.equal, settings, ask)
        if picked is None:
            raise EqualLinks(source=source or "…", links=", ".join(map(link.redact, choice.equal)))
        films = (picked,)
    if not films:
        return SourceLinks((_usable(link.parse(text, source=source)),))
    films = _distinct(meaning.link for meaning in meanings.values() if meaning.link in films)
    spelt = {_identity(meaning.link or ""): address for address, meaning in reversed(meanings.items())}
    said = _answers_for(text, found)
    return SourceLinks(tuple(replace(link.of(film), said=said[spelt[_identity(film)]]) for film in films))


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
    behind = [link.said_beside(a, text[e:s]) for a, e, s in zip(found, ends, [*starts[1:], len(text)], strict=True)]
    before = [link.said_beside(a, text[e:s]) for a, e, s in zip(found, [0, *ends[:-1]], starts, strict=True)]
    parts = before if before[0] and not behind[-1] else behind
    every = [said for said in {frozenset(said.items()) for said in (*before, *behind)} if said]
    if len(every) == 1:
        parts = [dict(every[0])] * len(found)
    return dict(zip(reversed(found), reversed(parts), strict=True))


def holds_files(given: str) -> bool:
    """Whether the SOURCE is an archive, a recording, or a folder with DICOM in it: the study itself, and no link to it."""
    path = Path(given)
    if is_folder(given):
        from scraper import verify  # not for a photo: it needs no DICOM library

        return any(not candidate.left_out for candidate in islice(verify.find(path), MOST_LOOKED_AT))
    if not is_file(given) or path.suffix.lower() in IMAGES | TEXTS:
        return False
    from scraper.protocols.archive_unpack import is_disc
    from scraper.protocols.tar_archive import is_tar

    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        return sniff(head) in _ARCHIVES or is_tar(head) or is_disc(path) or is_har(path)
    except OSError as err:
        raise UnreadableFile(path=given) from err


def is_har(path: Path) -> bool:
    """Whether a file is a browser's recording, perhaps in gzip: by its first characters."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if sniff(head) is Kind.GZIP:
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD)
    except (OSError, zlib.error):
        return False
    return _HAR.match(head) is not None


def path_of(share: ShareLink) -> Path:
    """The file or folder of a link that stands for one."""
    return Path(url2pathname(share.parts.path))


def is_folder(given: str) -> bool:
    """Whether the SOURCE is an existing folder."""
    try:
        return Path(given).is_dir()
    except (OSError, ValueError):
        return False


def is_file(given: str) -> bool:
    """Whether the SOURCE is an existing file."""
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # a long share text is no file name
        return False


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
    kind = link.kind_of(found.url)
    if kind is LinkKind.WECHAT_FOLLOW:
        raise WechatOnly(source=found.redacted)
    if kind is LinkKind.WECHAT_MINI_PROGRAM:
        raise MiniProgramOnly(link=found.redacted)
    if kind is LinkKind.WECHAT_OAUTH:
        inner = link.unwrapped(found.url)
        if inner is None:
            raise WechatOnly(source=found.redacted)
        return link.parse(inner)
    return found
