"""Say, once for each, that a provider of a file or of a plug-in is code that runs with the user's own rights."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from scraper.core.settings import data_folder
from scraper.registry.catalogue import plug_ins

_NAME: Final = "code-announced.json"
_MOST: Final = 200  # entries that are remembered
_MAX_BYTES: Final = 1 << 16
_MOST_FILES: Final = 2000  # of one plug-in's package; a change beyond them is not noticed
_MOST_CODE: Final = 16 << 20  # bytes of one file
_PIECE: Final = 1 << 20


def unannounced(provider: str) -> list[str]:
    """The providers in use that are foreign code and were not announced on this computer before; they count as announced now.

    No line of theirs runs for it.

    Args:
        provider: the value of ``--provider``.
    """
    found = {_key(name, content): name for name, content in _foreign(provider)}
    if not found:
        return []
    path = data_folder() / _NAME
    known = _known(path)
    fresh = [key for key in found if key not in known]
    if fresh:
        with suppress(OSError):  # if it can't be stored, the warning is shown again
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(json.dumps([*known, *fresh][-_MOST:]), encoding="utf-8")
            path.chmod(0o600)
    return [found[key] for key in fresh]


def open_to_others(provider: str) -> bool:
    """Whether anybody on this computer may change the file that ``--provider`` names, or put another in its place."""
    if sys.platform == "win32" or not provider.endswith(".py"):
        return False
    path = Path(provider).resolve()
    with suppress(OSError):
        file, folder = path.stat().st_mode, path.parent.stat().st_mode
        return bool(file & stat.S_IWOTH) or (bool(folder & stat.S_IWOTH) and not folder & stat.S_ISVTX)
    return False


def _foreign(provider: str) -> list[tuple[str, bytes]]:
    found = [(entry.name, entry.value.encode() + _digest_of_module(entry.module)) for entry in plug_ins()]
    if provider.endswith(".py") and Path(provider).is_file():
        with suppress(OSError):
            found.append((provider, _digest([Path(provider)])))
    return found


def _digest_of_module(module: str) -> bytes:
    """Of all the code of a module's package, without importing it; nothing where it is no files of Python."""
    spec = None
    with suppress(ImportError, ValueError):  # what stands in a stranger's metadata
        spec = importlib.util.find_spec(module.partition(".")[0])  # a package itself is not imported for that
    if spec is None:
        return b""
    with suppress(OSError):
        places = [Path(place) for place in spec.submodule_search_locations or ()]
        if places:
            return _digest(sorted(_code(places)))
        return _digest([Path(spec.origin)] if spec.origin else [])
    return b""


def _code(places: list[Path]) -> Iterator[Path]:
    left = _MOST_FILES
    suffixes = tuple(importlib.machinery.all_suffixes())
    for place in places:
        for folder, folders, names in os.walk(place):  # follows no link to a folder
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                if left and name.endswith(suffixes):
                    left -= 1
                    yield Path(folder) / name


def _digest(paths: list[Path]) -> bytes:
    """Of some files' names and bytes; what is no plain file, or longer than any program, by its size alone."""
    made = hashlib.sha256()
    for path in paths:
        about = path.stat()
        made.update(f"{path.name}\0{about.st_size}\0".encode("utf-8", "surrogateescape"))
        if path.is_file() and about.st_size <= _MOST_CODE:
            with path.open("rb") as file:
                for piece in iter(partial(file.read, _PIECE), b""):
                    made.update(piece)
    return made.digest()


def _key(name: str, content: bytes) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape") + b"\0" + content).hexdigest()


def _known(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return []
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
