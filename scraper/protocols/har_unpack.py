"""A HAR read as a stream by a child process that may write into one folder of its own; the parent's side is ``har_archive``.

Each entry becomes one line: what was asked and answered; its body lies in a numbered file. What browsers and proxies do
differently is levelled here: binary as base64, or as characters of Latin-1 without ``encoding``; bodies in files beside it or in
its zip; forms as pairs; messages of WebSockets.
Source: HAR 1.2 (``log.entries``); Chromium's ``_resourceType`` and ``_webSocketMessages``; Playwright's ``_file``.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlencode
from zlib import error as ZlibError  # an exception's name

from scraper.isolation.child import Say, answer_questions

MEMORY: Final = 512 << 20  # bytes of the child: one body with its text and its bytes at a time
MAX_BODY: Final = 4 << 30
MAX_TOTAL: Final = 64 << 30  # bytes of all bodies
MAX_ENTRIES: Final = 500_000
MAX_HEADERS: Final = 128 << 10  # characters of one message's headers, of its address
REQUEST_BODY: Final = 64 << 10
SCRIPT: Final = 64 << 10  # a larger script is a program, no data
_TEXT: Final = re.compile(
    r"^(text/|application/(json|xml|javascript|x-javascript|ecmascript|xhtml))|[+/](json|xml)\b", re.I
)
_CHARSET: Final = re.compile(r"charset=[\"']?([\w-]+)", re.I)
_IDLE: Final = frozenset(("stylesheet", "font", "media", "ping", "preflight"))
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\3\4"
IN_ZIP: Final = re.compile(r"[^/\\]{1,80}\.har")  # the recording itself, as a member
_ATTACHED: Final = re.compile(r"[0-9a-f]{40}(\.\w{1,8})?|[0-9a-f]{32}\.jsonl")  # a body's SHA-1, or a socket's messages


class _Reading:
    """One HAR being read.

    Args:
        folder: for bodies.
        say: gives each exchange.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._number = self._total = 0
        self._attached: Callable[[str], bytes | None] = lambda _: None

    def run(self, path: Path) -> None:
        """Every entry; a file that is cut gives what it holds."""
        import ijson

        given = 0
        for backend in (ijson, ijson.get_backend("python")):
            try:
                with ExitStack() as stack:
                    source = self._opened(path, stack.enter_context(path.open("rb")), stack)
                    for count, entry in enumerate(backend.items(source, "log.entries.item", use_float=True)):
                        if count >= MAX_ENTRIES or self._total > MAX_TOTAL:
                            break
                        if isinstance(entry, dict) and count >= given:
                            self._entry(entry)
                        given = max(given, count + 1)
                    else:
                        self._say(end=True, is_cut=False)
                        return
                break
            except UnicodeDecodeError:  # lone surrogates, which the fast reader does not take: once more with the other
                continue
            except (ijson.JSONError, EOFError, ZlibError, gzip.BadGzipFile, zipfile.BadZipFile, RuntimeError):
                break
        self._say(end=True, is_cut=True)

    def _opened(self, path: Path, file: IO[bytes], stack: ExitStack) -> IO[bytes]:
        """The recording's text: of the file itself, or of a member of the zip that it is."""
        is_zip = file.read(4) == _ZIP
        file.seek(0)
        if not is_zip:
            self._attached = lambda name: _beside(path, name)
            return _unpacked(file)
        archive = stack.enter_context(zipfile.ZipFile(file))
        members = {info.filename: info for info in archive.infolist()}
        self._attached = lambda name: archive.read(name) if 0 <= _size(members.get(name)) <= MAX_BODY else None
        name = next((name for name in members if IN_ZIP.fullmatch(name)), "")
        if not name:
            raise EOFError
        return stack.enter_context(archive.open(name))

    def _file(self, part: Mapping[str, Any]) -> bytes | None:
        """A body that lies in a file of its own; None where there is none."""
        name = _text(part.get("_file"))
        return self._attached(name) if _ATTACHED.fullmatch(name) else None

    def _entry(self, entry: Mapping[str, Any]) -> None:
        request, response = _dict(entry.get("request")), _dict(entry.get("response"))
        url, content = _text(request.get("url")), _dict(response.get("content"))
        headers, status = _headers(response.get("headers")), response.get("status")
        status = int(status) if isinstance(status, (int, float)) else 0
        if not url or len(url) > MAX_HEADERS:
            return
        kind = _kind(_text(entry.get("_resourceType")), content, headers)
        messages = entry.get("_webSocketMessages")
        if url.startswith(("ws:", "wss:")) and not isinstance(messages, list):
            messages = _lines(self._file(content) or b"")
        if isinstance(messages, (list, Iterator)):
            for message in messages:
                self._message(url, _dict(message))
            return
        if kind in _IDLE or (kind == "script" and len(_text(content.get("text"))) > SCRIPT):
            return
        body = self._file(content) if "_file" in content else _body(content, headers)
        if kind == "script" and body and len(body) > SCRIPT:
            return
        size = content.get("size")
        is_left_out = body is None and 200 <= status < 300 and isinstance(size, (int, float)) and size > 0
        self._give(
            url,
            kind,
            body or b"",
            method=_text(request.get("method")) or "GET",
            request_headers=_headers(request.get("headers")),
            request_body=self._sent(_dict(request.get("postData")))[:REQUEST_BODY],
            status=status,
            headers=headers,
            is_left_out=is_left_out,
        )

    def _sent(self, post: Mapping[str, Any]) -> str:
        """What a request sent: a text, or the pairs of a form (Firefox and Charles write these alone)."""
        text = _text(post.get("text")) or (self._file(post) or b"")[:REQUEST_BODY].decode("utf-8", "replace")
        pairs = post.get("params")
        if text or not isinstance(pairs, list):
            return text
        return urlencode([(_text(_dict(pair).get("name")), _text(_dict(pair).get("value"))) for pair in pairs])

    def _message(self, url: str, message: Mapping[str, Any]) -> None:
        """One message of a socket; binary is base64 (opcode 2)."""
        text, is_text = _text(message.get("data")), message.get("opcode") != 2
        try:
            data = text.encode("utf-8", "surrogatepass") if is_text else base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return
        is_sent = message.get("type") == "send"
        self._give(url, "websocket-out" if is_sent else "websocket-in", data, method="", status=101, is_text=is_text)

    def _give(self, url: str, kind: str, body: bytes, **more: object) -> None:
        self._number += 1
        self._total += len(body)
        (self._folder / f"{self._number:07d}").write_bytes(body)
        self._say(url=url, kind=kind, number=self._number, size=len(body), **more)


def _lines(data: bytes) -> Iterator[object]:
    """The messages of a socket that lie in a file of their own, one in a line; a line that is none is passed over."""
    for line in io.BytesIO(data):
        with suppress(ValueError, RecursionError):
            yield json.loads(line)


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    """The text itself, taken out of gzip, and without the mark that some programs put before it."""
    head = file.read(3)
    file.seek(0)
    source: Any = gzip.GzipFile(fileobj=file) if head[:2] == _GZIP else file
    if head == b"\xef\xbb\xbf":
        source.read(3)
    return source  # type: ignore[no-any-return]  # a file in either case


def _beside(har: Path, name: str) -> bytes | None:
    """A plain file in the recording's own folder."""
    path = har.parent / name
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BODY:
        return None
    return path.read_bytes()


def _size(info: zipfile.ZipInfo | None) -> int:
    return info.file_size if info is not None else -1


def _body(content: Mapping[str, Any], headers: Mapping[str, str]) -> bytes | None:
    """A response's bytes; None where they were left out."""
    text = content.get("text")
    if not isinstance(text, str):
        return None
    if content.get("encoding") == "base64":
        try:
            return base64.b64decode(text)
        except (binascii.Error, ValueError):
            return None
    if "\ufffd" in text and text[128:132] == "DICM":
        return None  # the program took bytes for text, and replaced what is none
    return _encoded(text, headers.get("content-type", "") or _text(content.get("mimeType")))


def _encoded(text: str, mime: str) -> bytes:
    """The bytes that a text stands for."""
    if not _TEXT.search(mime):
        try:
            return text.encode("latin-1")  # a byte as a character
        except UnicodeEncodeError:
            pass
    charset = _CHARSET.search(mime)
    for encoding, errors in ((charset[1] if charset else "utf-8", "strict"), ("utf-8", "surrogateescape")):
        try:
            return text.encode(encoding, errors)  # the second: mitmproxy's, of bytes that are no text
        except (LookupError, UnicodeError):
            continue
    return text.encode("utf-8", "surrogatepass")


def _kind(named: str, content: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """What the browser calls it; by the content's type where the program does not say."""
    if named:
        return named.lower()
    mime = (headers.get("content-type", "") or _text(content.get("mimeType"))).lower()
    for kind, mark in (("document", "html"), ("script", "javascript"), ("stylesheet", "css"), ("font", "font")):
        if mark in mime:
            return kind
    return "image" if mime.startswith("image/") else "xhr"


def _headers(given: object) -> dict[str, str]:
    """Header pairs by lower-case name, as far as they are of a sane length."""
    found: dict[str, str] = {}
    left = MAX_HEADERS
    for pair in given if isinstance(given, list) else ():
        name, value = _text(_dict(pair).get("name")).lower(), _text(_dict(pair).get("value"))
        left -= len(name) + len(value)
        if left < 0:
            break
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _answer(folder: Path, question: Mapping[str, Any], say: Say) -> None:
    try:
        _Reading(folder, say).run(Path(question["har"]))
    except MemoryError:
        say(end=True, is_cut=True)
    except BrokenPipeError:
        raise
    except OSError as err:
        say(error="system", number=err.errno or 0)


def serve() -> None:
    """The child's life; the folder that it may write into stands on the command line."""
    folder = Path(sys.argv[1])
    answer_questions(lambda question, _, say: _answer(folder, question, say), MEMORY, (folder,), MAX_BODY)
