"""A page that a person saved, read by a child process: MHTML, SingleFile, or a page with its folder of files.

Each part becomes one line and a numbered file, as those of a HAR (``har_unpack``). Sources: RFC 2557 (MHTML,
``Content-Location``); Chromium's ``Snapshot-Content-Location``; the comment ``saved from url=(LENGTH)ADDRESS`` of browsers, and
``Page saved with SingleFile`` with its ``url:``; RFC 2397 (``data:``).
"""

from __future__ import annotations

import base64
import binascii
import email
import email.message
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes, urljoin

from scraper.core.sniff import BARE_DATA_SETS, HEAD, Kind, sniff
from scraper.isolation.child import Say, answer_questions

MEMORY: Final = 1 << 30  # bytes of the child: a page of 128 MB as text, its parts, one of them decoded
MAX_FILE: Final = 1 << 30  # bytes of one file of a page's folder
MAX_PAGE: Final = 128 << 20  # bytes of the page itself
MAX_PARTS: Final = 20_000
MAX_TOTAL: Final = 16 << 30
IMAGES: Final = frozenset((*BARE_DATA_SETS, Kind.PART10, Kind.META_FIRST, Kind.ZIP))
FOLDERS: Final = ("_files", ".files", "_file", "-Dateien", "_fichiers")  # what browsers append to the page's name
UNKNOWN_PAGE: Final = "https://saved-page.invalid/"  # RFC 2606: leads nowhere
_SAVED_FROM: Final = re.compile(rb"<!--\s{0,9}saved from url=\(\d{1,6}\)(https?://[!-~]{1,8000})")
_SINGLE_FILE: Final = re.compile(rb"Page saved with SingleFile\s{1,9}url:\s{1,9}(https?://[!-~]{1,8000})")
_DATA: Final = re.compile(rb"data:([\w.+/-]{0,100})((?:;[\w=.-]{1,60}){0,3}),")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=%_-]+")

Part = tuple[str, str, bytes | Path]


def is_mhtml(head: bytes) -> bool:
    """Whether a file begins as MHTML does: mail headers that name parts belonging together."""
    start = head[:HEAD].lower()
    return b"multipart/related" in start and b"<html" not in start.partition(b"multipart/related")[0]


def parts(path: Path) -> Iterator[Part]:
    """Address, type and bytes (or file) of every part, the page first.

    Raises:
        ValueError: it is too large.
    """
    if path.stat().st_size > MAX_PAGE:
        raise ValueError(path.name)
    data = path.read_bytes()
    yield from _of_mhtml(data) if is_mhtml(data[:HEAD]) else _of_html(path, data)


def _of_mhtml(data: bytes) -> Iterator[Part]:
    message = email.message_from_bytes(data)
    page = str(message.get("Snapshot-Content-Location") or message.get("Content-Location") or UNKNOWN_PAGE).strip()
    yield page, "text/html", b""
    for count, part in enumerate(message.walk()):
        if count > MAX_PARTS:
            return
        if part.is_multipart():
            continue
        address = str(part.get("Content-Location") or "").strip()
        body = part.get_payload(decode=True)
        yield (
            urljoin(page, address) if address else page,
            part.get_content_type(),
            body if isinstance(body, bytes) else b"",
        )


def _of_html(path: Path, data: bytes) -> Iterator[Part]:
    match = _SAVED_FROM.search(data[: 1 << 16]) or _SINGLE_FILE.search(data[: 1 << 16])
    page = match[1].decode("ascii").removesuffix("-->") if match else UNKNOWN_PAGE
    yield page, "text/html", data
    for number, found in enumerate(_DATA.finditer(data)):
        if number > MAX_PARTS:
            return
        body = _embedded(data, found)
        if body:
            yield f"{page.partition('#')[0]}#data-{number}", found[1].decode("ascii") or "text/plain", body
    for name in FOLDERS:
        folder = path.with_name(path.stem + name)
        if folder.is_dir() and not folder.is_symlink():
            for count, file in enumerate(sorted(folder.rglob("*"))):
                if count > MAX_PARTS:
                    return
                if file.is_file() and not file.is_symlink() and 0 < file.stat().st_size <= MAX_FILE:
                    yield urljoin(page, quote(file.relative_to(folder).as_posix())), "", file


def _embedded(data: bytes, found: re.Match[bytes]) -> bytes:
    """The bytes of a ``data:`` address; nothing for pictures and styles that no study is made of."""
    if found[1].startswith((b"font/", b"text/css", b"image/svg")):
        return b""
    if b";base64" not in found[2]:
        return b""
    text = _BASE64.match(data, found.end())
    try:
        return base64.b64decode(unquote_to_bytes(text[0]) + b"==") if text else b""
    except (binascii.Error, ValueError):
        return b""


def _answer(folder: Path, question: Mapping[str, Any], say: Say) -> None:
    """Say each part, or only where the page came from and whether a study's images lie in it."""
    is_look, holds, number, total, page = bool(question.get("look")), False, 0, 0, ""
    try:
        for address, mime, body in parts(Path(question["page"])):
            page = page or address
            data = body if isinstance(body, bytes) else b""
            if isinstance(body, Path):
                with body.open("rb") as file:
                    data = file.read(HEAD) if is_look else file.read()
            total += len(data)
            holds = holds or sniff(data[:HEAD]) in IMAGES
            if total > MAX_TOTAL:
                break
            if is_look:
                if holds:
                    break
                continue
            number += 1
            (folder / f"{number:07d}").write_bytes(data)
            kind = "document" if address == page else "script" if "javascript" in mime else "xhr"
            headers = {"content-type": mime} if mime else {}
            say(url=address, kind=kind, number=number, size=len(data), status=200, headers=headers)
    except (MemoryError, ValueError, LookupError, RecursionError):
        say(error="unreadable")
        return
    except BrokenPipeError:
        raise
    except OSError as err:
        say(error="system", number=err.errno or 0)
        return
    say(end=True, is_cut=False, page="" if page == UNKNOWN_PAGE else page, holds=holds)


def serve() -> None:
    """The child's life; the folder that it may write into stands on the command line."""
    folder = Path(sys.argv[1])
    answer_questions(lambda question, _, say: _answer(folder, question, say), MEMORY, (folder,), MAX_FILE)
