"""Cache the link shapes of all providers between runs: a photo is decoded without any provider, a link loads its own alone.

The cache is valid only for the exact files it was built from: the providers' contents, the modules that build shapes,
and the installed plug-ins. Otherwise it is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from scraper.core.shape import Shape

NAME = "link-shapes.json"
MAX_BYTES = 1 << 20
_MAKERS = ("registry/index.py", "core/shape.py", "contract.py", "registry/catalogue.py")
_PLUGGED = ("dist-info", "egg-info")


def shapes(folder: Path, load: Callable[[], tuple[tuple[Shape, ...], bool]]) -> tuple[Shape, ...]:
    """The result of ``load``, from the cache in ``folder`` if it is valid; never raises because of the cache's content.

    Args:
        folder: the user's own.
        load: asks the providers themselves, and returns whether the answer may be cached.
    """
    key = _key()
    held = _read(folder / NAME, key)
    if held is not None:
        return held
    current, lasts = load()
    if lasts and key:
        with suppress(OSError):
            _write(folder, key, current)
    return current


def _key() -> str:
    """A hash that changes with anything that could change a shape; empty if that can't be determined."""
    import providers

    found = hashlib.blake2b(digest_size=20)
    here = Path(__file__).parents[1]
    try:
        for folder in sorted(providers.__path__):
            for path in sorted(Path(folder).rglob("*.py")):
                _add(found, str(path), path.read_bytes())
        for name in _MAKERS:
            _add(found, name, (here / name).read_bytes())
    except OSError:  # from a zip, say
        return ""
    for place in sys.path:
        if declared := _plugged_in(place or "."):
            _add(found, place, declared)
    return found.hexdigest()


def _add(found: Any, name: str, content: bytes) -> None:
    found.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape"))
    found.update(content)


def _plugged_in(place: str) -> bytes:
    """The entry points that a folder of installed packages declares, as far as they can change: names, sizes, times."""
    rows = []
    try:
        if os.path.isfile(place):  # noqa: PTH113  # a zip on the path; Path costs more than the question
            rows.append(str(os.stat(place).st_mtime_ns))  # noqa: PTH116
        else:
            with os.scandir(place) as entries:
                names = sorted(dir_entry.name for dir_entry in entries if dir_entry.name.endswith(_PLUGGED))
            for name in names:
                with suppress(OSError):
                    stat = os.stat(f"{place}/{name}/entry_points.txt")  # noqa: PTH116
                    rows.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
    except OSError:
        pass  # a folder that is not there has none
    return "\n".join(rows).encode(errors="surrogateescape")


def _read(path: Path, key: str) -> tuple[Shape, ...] | None:
    """The cached shapes for the key; None for anything else."""
    try:
        if not key or path.stat().st_size > MAX_BYTES:
            return None
        held: Any = json.loads(path.read_bytes())
        if held["key"] != key:
            return None
        return tuple(_shape(row) for row in held["shapes"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _shape(row: Any) -> Shape:
    name, schemes, routes, distinctive, hosts, behind, saved_page, saved_from, on_any_host, module = row
    for text in (name, *schemes, *routes, *distinctive, *hosts, *behind, saved_page, saved_from, module):
        if not isinstance(text, str):
            raise TypeError(text)
    hosts, behind = tuple(hosts), tuple(behind)
    whether = on_any_host is True
    return Shape(
        name, tuple(schemes), tuple(routes), tuple(distinctive), hosts, behind, saved_page, saved_from, whether, module
    )


def _write(folder: Path, key: str, current: tuple[Shape, ...]) -> None:
    """Whole or not at all; another process may be doing the same."""
    import tempfile

    rows = [astuple(shape) for shape in current]
    folder.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"key": key, "shapes": rows}, file)
        Path(part).replace(folder / NAME)
    except OSError:
        Path(part).unlink(missing_ok=True)
        raise
