"""Run a program that is not ours on a stranger's files (dcm2niix): behind the same fence as our own children.

It is started by a child of ours that puts the fence up and then becomes it. It has no network, starts no further process,
writes into one folder, and has none of the user's environment. Windows has none of these fences: it is started as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from scraper.isolation import fence
from scraper.isolation.own_program import child_command
from scraper.isolation.process import MOST_FILE, bare_environment

_FILES: Final = 1024  # open at the same time


def fenced(command: Sequence[str], writable: Path, memory: int) -> list[str]:
    """The command that runs ``command`` behind the fence.

    Args:
        command: its program's full path, and its arguments.
        writable: the folder in which it may write.
        memory: bytes that it may have.
    """
    if sys.platform == "win32":
        return list(command)
    return child_command(__name__, "start", str(writable), str(memory), *command, is_bare=True)


def environment(writable: Path) -> Mapping[str, str]:
    """What the program finds in its environment; settings in the user's own folder are not its concern."""
    return {**bare_environment(), "HOME": str(writable)}


def start() -> None:
    """Put the fence up, and become the program. The child's side."""
    _, writable, memory, *command = sys.argv
    fence.limit(int(memory), MOST_FILE, _FILES)
    fence.fence_files([Path(writable)])
    fence.fence_calls(may_execute=True)
    os.execv(command[0], command)  # noqa: S606  # no shell, and the path is ours
