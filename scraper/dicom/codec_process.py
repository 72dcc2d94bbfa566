"""Encode and decode in a child process: codecs are C, work on foreign bytes, and one crashes when two threads encode.

One process serves all threads of this program, one task after another, and ends with it. It is this interpreter running this
module; requests and answers are a line of JSON with a length, then raw bytes.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Any, Final

PATIENCE_S: Final = 60.0  # for one picture; the largest take seconds
_HOME: Final = str(Path(__file__).parents[2])
_START: Final = "import sys; sys.path[:0] = {path!r}; from scraper.dicom.codec_process import serve; serve()"


class CodecProcess:
    """The process, started when first needed and restarted after a crash."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def ask(self, name: str, values: dict[str, Any], data: bytes) -> bytes | None:
        """Have one task done; None where it is impossible, or the process crashed or hung.

        Args:
            name: of the work, ``encode`` or ``png``.
            values: its parameters.
            data: the bytes to work on.
        """
        with self._lock:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101  # made with pipes
            timer = Timer(PATIENCE_S, process.kill)
            timer.start()
            try:
                _send(process.stdin, {"name": name, **values}, data)
                answer = _receive(process.stdout)
            except (OSError, EOFError, ValueError):
                self._stop()
                return None
            finally:
                timer.cancel()
        return answer[1] if answer[0].get("ok") else None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = subprocess.Popen(  # noqa: S603  # this very interpreter
                # -P: the folder that we were called in is no place to import from
                [sys.executable, "-P", "-c", _START.format(path=[_HOME, *filter(None, sys.path)])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                try:
                    if pipe is not None:
                        pipe.close()
                except OSError:  # what was still to be written to a dead process
                    continue

    def close(self) -> None:
        """End the process, if running."""
        with self._lock:
            self._stop()


def _send(out: IO[bytes], header: dict[str, Any], data: bytes) -> None:
    out.write(json.dumps({**header, "length": len(data)}).encode() + b"\n" + data)
    out.flush()


def _receive(source: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    line = source.readline()
    if not line:
        raise EOFError
    header = json.loads(line)
    data = source.read(header["length"])
    if len(data) < header["length"]:
        raise EOFError
    return header, data


def serve() -> None:
    """Serve requests until the pipe is closed."""
    import signal
    import warnings

    from scraper.core.log import quiet_libraries
    from scraper.dicom.encode import encode_samples
    from scraper.dicom.pixels_png import read_samples

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # C libraries print where they like
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(answers.fileno(), os.O_BINARY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; when we end is for our parent to say
    warnings.simplefilter("ignore")
    quiet_libraries()
    works = {"encode": encode_samples, "png": read_samples}
    while True:
        try:
            header, data = _receive(sys.stdin.buffer)
        except EOFError:
            return
        made = works[header["name"]](header, data)
        try:
            _send(answers, {"ok": made is not None}, made or b"")
        except OSError:
            return


SHARED: Final = CodecProcess()
"""The one process of this program."""
atexit.register(SHARED.close)
