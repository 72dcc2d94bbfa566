"""JSON that strangers wrote: of a size that a list can have, a long one read by a child process first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scraper.core.settings import MAX_JSON_BYTES, MAX_JSON_NODES
from scraper.isolation import json_text


def parse_json(data: bytes | str) -> Any:
    """A JSON value, where it is of a size that a list can have; counted before anything is made of it.

    A long text is read by a child process first (``scraper.isolation.json_text``).

    Raises:
        ValueError: no JSON, or more nodes or bytes than any list has. ReadLate, which is one, too: it took too long.
        RecursionError: nested too deep.
    """
    if len(data) > MAX_JSON_BYTES:
        raise ValueError("too long")
    marks: tuple[Any, ...] = (b",", b"[", b"{") if isinstance(data, bytes) else (",", "[", "{")
    if len(data) > MAX_JSON_NODES and sum(data.count(mark) for mark in marks) > MAX_JSON_NODES:
        raise ValueError("too many values")
    return json.loads(json_text.rewritten(data))


def json_file(path: Path) -> Any:
    """The value of a JSON file: of a report that lies in a folder, and that anybody may have put there.

    Raises:
        OSError: it can't be read. ValueError: no JSON, too long, or nested too deep.
    """
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError("too long")
    try:
        return parse_json(path.read_bytes())
    except RecursionError as err:
        raise ValueError("nested too deep") from err
