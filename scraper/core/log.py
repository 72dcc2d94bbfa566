"""The logger of the program, ``logging.getLogger("cloudfilm")``; nothing that is logged names a patient or opens a study."""

from __future__ import annotations

import logging
import threading
from collections import Counter
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
    """A library's loggers drop every record as long as any of these is begun, whatever levels the program has set.

    Args:
        name: of the library.
    """

    _lock = threading.Lock()
    _active: ClassVar[Counter[str]] = Counter()

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_active = False

    def begin(self) -> None:
        """From now on."""
        with self._lock:
            if self._is_active:
                return
            self._is_active = True
            self._active[self._name] += 1
            if self._active[self._name] == 1:
                gate = _GATES.setdefault(self._name, _Gate(self._name))
                for library in _loggers_of(self._name):  # a parent's filter does not see the records of its children
                    library.addFilter(gate)

    def end(self) -> None:
        """No longer, where nobody else needs it."""
        with self._lock:
            self._active[self._name] -= self._is_active
            self._is_active = False

    @classmethod
    def is_over(cls, name: str) -> bool:
        """Whether a library may log."""
        return not cls._active[name]

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class _Gate(logging.Filter):
    """Drops the records of a library that has to be silent."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        return Silence.is_over(self.name)


_GATES: Final[dict[str, _Gate]] = {}


def _loggers_of(name: str) -> list[logging.Logger]:
    """A library's logger, and those of its modules that exist."""
    children = [entry for key, entry in tuple(logging.root.manager.loggerDict.items()) if key.startswith(f"{name}.")]
    return [logging.getLogger(name), *(entry for entry in children if isinstance(entry, logging.Logger))]
