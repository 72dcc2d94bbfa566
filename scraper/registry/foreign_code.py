"""Say, once for each, that a provider of a file or of a plug-in is code that runs with the user's own rights."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Final

from scraper.core.settings import data_folder
from scraper.registry.catalogue import GROUP

_NAME: Final = "code-announced.json"
_MOST: Final = 200  # entries that are remembered
_MAX_BYTES: Final = 1 << 16


def unannounced(provider: str) -> list[str]:
    """The providers in use that are foreign code and were not announced on this computer before; they count as announced now.

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
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([*known, *fresh][-_MOST:]), encoding="utf-8")
    return [found[key] for key in fresh]


def _foreign(provider: str) -> list[tuple[str, bytes]]:
    from importlib.metadata import entry_points

    found = [(entry.name, entry.value.encode()) for entry in entry_points(group=GROUP)]
    if provider.endswith(".py"):
        with suppress(OSError):
            found.append((provider, Path(provider).read_bytes()))
    return found


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
