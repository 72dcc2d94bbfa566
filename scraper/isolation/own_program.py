"""The command that runs a function of ours in a process of its own: by this interpreter, or by the packaged program.

A packaged program (``packaging/``) has no interpreter that could be started with ``-c``: it starts itself, and its first step
(``run_if_child``) is to look whether it was started for one function.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

NO_CONSOLE: Final[int] = getattr(
    subprocess, "CREATE_NO_WINDOW", 0
)  # Windows alone has it: else each child shows a console
_MARK: Final = "--cloudfilm-child"
_OURS: Final = ("scraper.", "playwright.")


def is_packaged() -> bool:
    """Whether this is the packaged program; PyInstaller's start sets the mark (its manual, "Run-time Information")."""
    return bool(getattr(sys, "frozen", False))


def child_command(
    module: str, function: str, *arguments: str, without: Sequence[str] = (), is_bare: bool = False
) -> list[str]:
    """A command that calls ``function`` of ``module`` with ``arguments`` in ``sys.argv[1:]``.

    The folder that the program was called in is no place to import from, hence ``-P``.

    Args:
        module: a module of ours, or of a library.
        function: takes no arguments.
        arguments: of the command line.
        is_bare: it starts sooner, and finds nothing but what ``bare_environment`` names.
        without: modules that the interpreter is not to find; a packaged program has nothing that it does not need.
    """
    if is_packaged():
        return [sys.executable, _MARK, module, function, *arguments]
    hidden = "".join(f"sys.modules[{name!r}] = None; " for name in without)
    start = f"{hidden and 'import sys; '}{hidden}from {module} import {function}; {function}()"
    return [sys.executable, "-P", *(["-S"] if is_bare else []), "-c", start, *arguments]


def run_if_child() -> bool:
    """Do what a child of the packaged program was started for; False where this process is no such child."""
    if len(sys.argv) < 4 or sys.argv[1] != _MARK:
        return False
    _, _, module, function, *arguments = sys.argv
    if not module.startswith(_OURS):
        return False
    sys.argv = [sys.argv[0], *arguments]
    getattr(importlib.import_module(module), function)()
    return True
