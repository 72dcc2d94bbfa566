"""The program's entry point: takes Ctrl-C and the streams in hand before anything that takes time is loaded."""

from __future__ import annotations

import sys

from scraper import interrupt


def main() -> None:
    """Run the command line and leave with the contract's exit code."""
    interrupt.guard(sys.argv[1:])
    from scraper.cli import main as run_command

    run_command()
