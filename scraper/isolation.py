"""Work on foreign bytes in processes that may die: a hostile file ends a worker, never the run, and wins nothing in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

HOME: Final = str(Path(__file__).parents[1])
_PASSED_ON: Final = (
    "LANG", "LC_ALL", "LC_CTYPE", "PATH", "SYSTEMROOT", "SYSTEMDRIVE", "TEMP", "TMP", "TMPDIR", "WINDIR",
)  # fmt: skip


def bare_environment() -> dict[str, str]:
    """What a process needs to start this interpreter with this package, and nothing of the user's."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    paths = os.pathsep.join([HOME, *filter(None, sys.path)])
    return {**passed, "PYTHONPATH": paths, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
