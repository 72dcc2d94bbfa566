"""The one door to the terminal: everything that a command writes to standard output and standard error passes here.

What a stream's encoding cannot hold becomes a sign that it can (``✓`` → ``OK``), JSON is UTF-8 whatever the code page,
controls of foreign texts become visible marks, and a pipe that was closed or a disk that is full ends no command midway.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

from scraper.core.safe_text import json_text, visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console

CLOSED_PIPE: Final = 141  # 128 + SIGPIPE, as a shell reports a program that the signal ended
FALLBACK: Final = "cloudfilm-signs"  # name of the error handler below
_SIGNS: Final = {
    "✓": "OK",
    "✗": "X",
    "•": "*",
    "·": "-",
    "→": "->",
    "…": "...",
    "⋯": "...",
    "–": "-",
    "—": "-",
    "×": "x",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "，": ", ",
    "。": ". ",
    "：": ": ",
    "；": "; ",
    "（": " (",
    "）": ") ",
    "！": "! ",
    "？": "? ",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "─": "-",
    "│": "|",
    "\ufffd": "?",
    "\u2421": "^?",
    "\u2066": "",
    "\u2067": "",
    "\u2068": "",
    "\u2069": "",
}


def _signs(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_sign, error.object[error.start : error.end])), error.end


def _sign(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    code = ord(char)
    if 0x2400 <= code < 0x2420:  # the mark of a control character
        return f"^{chr(code - 0x2400 + 0x40)}"
    if 0xD800 <= code <= 0xDFFF:
        return "?"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


codecs.register_error(FALLBACK, _signs)


class _GuardedRaw(io.RawIOBase):
    """A stream's lowest layer; once nothing reads it any more, output is dropped, and ``failure`` says why."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw.isatty()

    def fileno(self) -> int:
        return self._raw.fileno()

    def write(self, data: Any) -> int | None:
        if self.failure is None:
            try:
                return self._raw.write(data)
            except OSError as err:
                self.failure = err
        return len(data)


class Streams:
    """Standard output and standard error, guarded from ``guard_streams`` on."""

    def __init__(self) -> None:
        self._out: _GuardedRaw | None = None

    def guard(self) -> None:
        """Put the guards in place; a stream other than the system's own is not changed."""
        out, self._out = _guarded(sys.stdout)
        if out is not None:
            sys.stdout = out
        err, _ = _guarded(sys.stderr)
        if err is not None:
            sys.stderr = err

    def ended(self, code: int) -> int:
        """The exit code, with what became of standard output: a closed pipe is no failure, a full disk is one."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                try:
                    stream.flush()
                except (OSError, ValueError):
                    continue
        failure = self._out.failure if self._out is not None else None
        if failure is None:
            return code
        if failure.errno in (errno.EPIPE, errno.EINVAL, errno.ESHUTDOWN):  # Windows says EINVAL of a closed pipe
            return CLOSED_PIPE if code else 0
        return max(code, 10)


def _guarded(stream: TextIO | None) -> tuple[io.TextIOWrapper | None, _GuardedRaw | None]:
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # with PYTHONUNBUFFERED there is no layer in between
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.RawIOBase):
        return None, None
    stream.flush()
    guard = _GuardedRaw(raw)
    return (
        io.TextIOWrapper(io.BufferedWriter(guard), encoding=stream.encoding, errors=FALLBACK, line_buffering=True),
        guard,
    )


streams: Final = Streams()


def echo(text: str, *, err: bool = False) -> None:
    """Write one text and a line feed; values in it are made visible."""
    _write(visible_lines(text) + "\n", sys.stderr if err else sys.stdout)


def complain(*sentences: str) -> None:
    """Talk, on standard error."""
    echo(" ".join(sentences), err=True)


def echo_json(value: object) -> None:
    """Write one JSON document on a line of standard output, in UTF-8 whatever the code page."""
    line = json_text(value) + "\n"
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        _write(line, sys.stdout)
        return
    sys.stdout.flush()
    buffer.write(line.encode("utf-8"))
    buffer.flush()


def _write(text: str, stream: TextIO | None) -> None:
    if stream is None:  # a program without a console, on Windows
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a stream that is not guarded
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, FALLBACK).decode(encoding))
    stream.flush()


def writable(text: str) -> str:
    """A text with signs in place of what standard output's encoding can't hold."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, FALLBACK).decode(encoding)


def can_write(text: str, stream: TextIO | None) -> bool:
    """Whether a stream's encoding holds a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def markup(value: object) -> str:
    """A value for a console's markup: visible, and never read as markup itself."""
    from rich.markup import escape

    return escape(visible(value))


def console(*, err: bool = False, quiet: bool = False) -> Console:
    """A console of rich's for results or, with ``err``, for talk."""
    from scraper.core.output_console import VisibleConsole

    return VisibleConsole(stderr=err, quiet=quiet, emoji=False, highlight=False)


def leave(code: int) -> None:
    """End the process at once, with nothing more written by anybody."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    os._exit(code)
