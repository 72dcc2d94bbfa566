"""Parse long JSON of a site in a child process, which returns it as JSON of our own writer.

The child holds the site's bytes, takes them apart within its memory, and writes the value plainly: no blanks, ASCII alone, each
key of an object once. A text that would take the memory, or the reader itself, ends the child.
"""

from __future__ import annotations

import atexit
import json
from threading import Lock
from typing import Any, Final

from scraper.isolation import fence
from scraper.isolation.child import Child, ChildLate, ChildLost, Say, answer_questions

LONG: Final = 1 << 20  # bytes; a shorter text can't hold enough to harm
PATIENCE_S: Final = 60.0
MEMORY: Final = 1200 << 20  # bytes of the child: six million values take some 800 MB, their texts the rest
FREED_ABOVE: Final = 4 << 20  # bytes of a text; after one this long the child ends, since it would keep the memory
GROWTH: Final = 6  # a sign of a text, at most, as an escape of ASCII

_lock = Lock()
_child = Child("scraper.isolation.json_text", patience_s=PATIENCE_S)
atexit.register(_child.close)


class ReadLate(ValueError):
    """The child took more than its time over a text: nothing is known of it, not that it is no JSON."""


def rewritten(text: bytes | str) -> bytes | str:
    """The same JSON value, written by the child; a text that is short comes back as it is.

    Raises:
        ValueError: no JSON, or more than the child's memory holds. ReadLate: more than its time. RecursionError: nested too deep.
    """
    if len(text) <= LONG or fence.is_up():  # behind a fence already, no further process can be had, or is needed
        return text
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    with _lock:
        try:
            *_, (answer, written) = _child.ask({}, data, longest=GROWTH * len(data))
        except ChildLate as err:
            raise ReadLate("a text that was not read in time") from err
        except ChildLost as err:
            raise ValueError("a text that can't be read") from err
        finally:
            if len(data) > FREED_ABOVE:
                _child.close()
    if answer.get("error") == "recursion":
        raise RecursionError
    if "error" in answer:
        raise ValueError("no JSON")
    return written


# ---- the child's side


def _write(_: dict[str, Any], data: bytes, say: Say) -> None:
    try:
        value = json.loads(data.decode("utf-8", "surrogatepass"))
        written = json.dumps(value, separators=(",", ":")).encode("ascii")
    except RecursionError:
        say(error="recursion")
    except (ValueError, MemoryError):
        say(error="value")
    else:
        del value
        say(written, end=True)


def serve() -> None:
    """The child's life."""
    answer_questions(_write, MEMORY)
