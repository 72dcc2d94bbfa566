"""Work on foreign bytes in processes that may die: a hostile file ends a worker, never the run, and wins nothing in it.

A worker is this interpreter without the user's environment, behind fences (``scraper.isolation.fence``): it opens no
socket, starts no program, writes no file and takes no more memory than what it works on may need. A task is a
function of one of our modules with its arguments; task and answer cross as JSON, and an answer becomes a value only
by the function's own annotated type.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scraper.isolation import fence
from scraper.isolation.plain import from_plain, to_plain

HOME: Final = str(Path(__file__).parents[2])
MOST_MEMORY: Final = (
    1200 << 20
)  # bytes that no task gets more than: a large file is mapped, and taken apart frame by frame
MOST_FILE: Final = 4 << 30  # bytes of one file that a process which may write writes
MEMORY: Final = 512 << 20  # bytes for any task; the codecs' buffers for 20 megapixels take some 400 MB
MEMORY_OF_SMALL: Final = 320 << 20  # bytes for a small file: measured, 230 MB for 20 megapixels that pack to nothing
SMALL: Final = 1 << 20  # bytes of a file
MEMORY_PER_BYTE: Final = 4  # of the file: its bytes, a decoded frame, its floats
LONGEST_ANSWER: Final = 64 << 20  # bytes; thumbnails of 40 series take some 200 KB, a file of 50,000 frames some 10 MB
_PASSED_ON: Final = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "PATH",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "TEMP",
    "TMP",
    "TMPDIR",
    "WINDIR",
)


def bare_environment() -> dict[str, str]:
    """What a process needs to start this interpreter with this package, and nothing of the user's.

    The systems of equations solved here are small: threads of their own would only wait for each other, and take memory.
    """
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    paths = os.pathsep.join([HOME, *filter(None, sys.path)])
    return {
        **passed,
        "PYTHONPATH": paths,
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def confine(memory: int = MOST_MEMORY, writable: Sequence[Path] = (), file_size: int = 0) -> None:
    """Give up what work on hostile bytes does not need; for the rest of the process's life.

    Args:
        memory: bytes of its own.
        writable: folders in which it may write.
        file_size: bytes of a file that it writes.
    """
    fence.limit(memory, file_size)
    fence.fence_files(writable)
    fence.fence_calls()


# ---- a task and its answer


def question(work: Callable[..., object], arguments: Sequence[object], named: Mapping[str, object]) -> bytes:
    """A call, as it crosses."""
    called = {"module": work.__module__, "name": work.__qualname__}
    return json.dumps({**called, "arguments": to_plain(arguments), "named": to_plain(named)}).encode()


def answered(message: bytes) -> bytes:
    """Do what a question asks for; the answer, as it crosses. The worker's side."""
    asked = json.loads(message)
    work: Any = importlib.import_module(asked["module"])
    for name in asked["name"].split("."):
        work = getattr(work, name)
    hints = _hints(work)
    names = list(inspect.signature(work).parameters) if hints else []
    given = [
        from_plain(hints.get(name, Any), item)
        for name, item in zip([*names, *[""] * len(asked["arguments"])], asked["arguments"], strict=False)
    ]
    named = {name: from_plain(hints.get(name, Any), item) for name, item in asked["named"].items()}
    fence.limit_memory(memory_for([*given, *named.values()]))
    return json.dumps(to_plain(work(*given, **named))).encode()


def answer_of(work: Callable[..., Any], message: bytes) -> Any:
    """An answer as the function's own type.

    Raises:
        ValueError, TypeError: it is of another kind: whatever the process is, it no longer does our work.
    """
    value = json.loads(message)
    return from_plain(_hints(work).get("return", Any), value)


def _hints(work: Any) -> dict[str, Any]:
    """The function's annotated types; none where it is not written in Python."""
    try:
        return typing.get_type_hints(work)
    except (TypeError, NameError):
        return {}


def memory_for(given: Iterable[object]) -> int:
    """Bytes that a task with these arguments may take: by the files that they name."""
    size = 0
    for item in given:
        with contextlib.suppress(OSError, ValueError):
            size += Path(item).stat().st_size if isinstance(item, (Path, str)) else 0
    least = MEMORY_OF_SMALL if 0 < size <= SMALL else MEMORY
    return min(least + MEMORY_PER_BYTE * size, MOST_MEMORY)
