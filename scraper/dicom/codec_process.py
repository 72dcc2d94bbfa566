"""Encode and decode in a child process: codecs are C, work on foreign bytes, and one crashes when two threads encode.

One process serves all threads of this program, one thing after another, and ends with it.
"""

from __future__ import annotations

import atexit
from threading import Lock
from typing import Any, Final

from scraper.isolation.child import Child, ChildLost, Say, answer_questions
from scraper.isolation.process import MOST_MEMORY

PATIENCE_S: Final = 60.0  # for one picture; the largest take seconds
LONGEST: Final = 256 << 20  # bytes of one answer: the samples or the codestream of one frame


class CodecProcess:
    """The process, started when it is first needed and started again after it died over something."""

    def __init__(self) -> None:
        self._child = Child("scraper.dicom.codec_process", patience_s=PATIENCE_S)
        self._lock = Lock()

    def ask(self, name: str, values: dict[str, Any], data: bytes) -> bytes | None:
        """Have one task done; None where it is impossible, or the process crashed or hung.

        Args:
            name: of the work, ``encode`` or ``png``.
            values: its parameters.
            data: the bytes to work on.
        """
        with self._lock:
            try:
                *_, (answer, made) = self._child.ask({"name": name, **values}, data, longest=LONGEST)
            except ChildLost:
                return None
        return made if "end" in answer else None

    def close(self) -> None:
        """End the process, if running."""
        with self._lock:
            self._child.close()


# ---- the child's side


def serve() -> None:
    """Serve requests until the pipe is closed."""
    import warnings

    from scraper.core.log import quiet_libraries
    from scraper.dicom.encode import encode_samples
    from scraper.dicom.pixels_png import read_samples

    warnings.simplefilter("ignore")
    quiet_libraries()
    works = {"encode": encode_samples, "png": read_samples}

    def work(header: dict[str, Any], data: bytes, say: Say) -> None:
        made = works[header["name"]](header, data)
        if made is None:
            say(error="not possible")
        else:
            say(made, end=True)

    answer_questions(work, MOST_MEMORY)


SHARED: Final = CodecProcess()
"""The one process of this program."""
atexit.register(SHARED.close)
