"""The logger of the program, ``logging.getLogger("cloudfilm")``; nothing that is logged names a patient or opens a study."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, ClassVar, Final, Self

from scraper.core.errors import CloudfilmError

if TYPE_CHECKING:
    from scraper.core.model import Result

NAME: Final = "cloudfilm"
logger: Final = logging.getLogger(NAME)
logger.addHandler(logging.NullHandler())  # who uses the library decides what becomes of it


def log_result(result: Result) -> None:
    """One line of how a source ended: numbers, and no link, name or answer."""
    counts = result.counts
    logger.info(
        "end: %s (%d), %s by %s, %d instances saved, %d reused, %d failed, %.1f s",
        result.status.value,
        result.exit_code,
        result.provider or "no provider",
        result.via.value if result.via else "nothing",
        counts.saved,
        counts.reused,
        counts.failed,
        result.seconds,
    )
    codes = [problem.code for study in result.studies for problem in study.problems]
    codes += [problem.code for study in result.studies for series in study.series for problem in series.problems]
    for code in dict.fromkeys(codes):
        logger.info("problem: %s (%d)", code, codes.count(code))
    if isinstance(result.error, CloudfilmError):
        logger.info("error: %s", result.error.code)


def quiet_libraries() -> None:
    """In a process of our own, silence libraries that log values of files and of the network: a patient's name may be one.

    A program that only imports us decides about these loggers itself.
    """
    for name in ("pydicom", "pynetdicom"):
        library = logging.getLogger(name)
        library.addHandler(logging.NullHandler())
        library.propagate = False


class Silence:
    """A library's logger says nothing as long as any of these is begun; then it is as it was.

    Args:
        name: of the logger.
    """

    _lock = threading.Lock()
    _begun: ClassVar[dict[str, tuple[int, int]]] = {}  # name → how many, and the level before

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_begun = False

    def begin(self) -> None:
        """From now on."""
        library = logging.getLogger(self._name)
        with self._lock:
            count, level = self._begun.get(self._name, (0, library.level))
            self._begun[self._name] = count + 1, level
            library.setLevel(logging.CRITICAL + 1)
            self._is_begun = True

    def end(self) -> None:
        """No longer, where nobody else needs it."""
        with self._lock:
            if not self._is_begun:
                return
            self._is_begun = False
            count, level = self._begun.pop(self._name)
            if count > 1:
                self._begun[self._name] = count - 1, level
            else:
                logging.getLogger(self._name).setLevel(level)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
