"""Read DICOM files that expand to very much in a child process, whose memory limit bounds them.

An ordinary file is read where it is needed (``structure.UNFENCED``); a deflated one of 500 MB, or one of a million elements,
would take more than a gigabyte there.
"""

from __future__ import annotations

import atexit
import json
from pathlib import Path
from threading import Lock
from typing import Any, Final

from scraper.core.errors import CorruptInstance, NotCheckedInTime
from scraper.core.model import Header
from scraper.core.reasons import Reason, as_cause
from scraper.isolation.child import Child, ChildLate, ChildLost, Say, answer_questions
from scraper.isolation.memory_budget import OF_ALL
from scraper.isolation.plain import from_plain, to_plain

MEMORY: Final = 1000 << 20  # bytes of the child: an inflated data set of 400 MB, and its copy
PATIENCE_S: Final = 60.0  # ten million steps take some 15 s
LONGEST: Final = 1 << 20  # bytes of an answer: a header, or file meta

_lock = Lock()
_child = Child("scraper.dicom.long_files", patience_s=PATIENCE_S)
atexit.register(_child.close)


def header(path: Path) -> Header:
    """As ``headers.anonymous_header``."""
    return _header("header", path)


def header_of_whole(path: Path) -> Header:
    """As ``part10.header_of_whole``."""
    return _header("header of whole", path)


def check_whole(path: Path) -> None:
    """As ``part10.check_whole``."""
    _asked("whole", path)


def missing_part(path: Path) -> bytes:
    """As ``part10.missing_part``."""
    return _asked("missing", path)


def _header(what: str, path: Path) -> Header:
    answer = _asked(what, path)
    try:
        found: Header = from_plain(Header, json.loads(answer))
    except (ValueError, TypeError, KeyError, RecursionError) as err:
        raise CorruptInstance(what=Reason.DAMAGED_FILE) from err
    return found


def _asked(what: str, path: Path) -> bytes:
    """The child's answer about one file.

    Raises:
        CorruptInstance: as the work asked for, or it takes more than the child's memory.
        NotCheckedInTime: it takes more than the child's time.
    """
    with _lock, OF_ALL.share(MEMORY):
        try:
            *_, (answer, made) = _child.ask({"what": what, "path": str(path.absolute())}, longest=LONGEST)
        except ChildLate as err:
            raise NotCheckedInTime from err
        except ChildLost as err:
            raise CorruptInstance(what=Reason.DAMAGED_FILE) from err
        finally:
            _child.close()  # it would keep the memory
    if "error" in answer:
        raise CorruptInstance(what=as_cause(answer["error"]))
    return made


# ---- the child's side


def serve() -> None:
    """The child's life."""
    from scraper.dicom import headers, part10, structure

    def missing(path: Path) -> bytes:
        with structure.mapped(path) as data:
            return part10.missing_part(data, structure.FULL)

    def whole(path: Path) -> bytes:
        part10.check_whole(path, structure.FULL)
        return b""

    works = {
        "header": lambda path: _plain(headers.header_within(path, structure.FULL)),
        "header of whole": lambda path: _plain(part10.header_of_whole(path, structure.FULL)),
        "whole": whole,
        "missing": missing,
    }

    def work(question: dict[str, Any], _: bytes, say: Say) -> None:
        try:
            made = works[question["what"]](Path(question["path"]))
        except CorruptInstance as err:
            say(error=to_plain(err.cause))
        except (MemoryError, OSError):
            say(error=Reason.DAMAGED_FILE.value)
        else:
            say(made, end=True)

    answer_questions(work, MEMORY)


def _plain(found: Header) -> bytes:
    return json.dumps(to_plain(found)).encode()
