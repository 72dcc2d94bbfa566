"""The program's entry point: sets up Ctrl-C and the streams before anything slow is loaded."""

import _signal  # type: ignore[import-not-found]  # what signal wraps, without the modules that it loads along
import os
import sys

from scraper.cli.interrupt_words import sentence


def main() -> None:
    """Run the command line and leave with the contract's exit code."""
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:  # as a shell starts what runs in the background
        _signal.signal(_signal.SIGINT, _leave)
    from scraper.cli import interrupt

    interrupt.guard(sys.argv[1:])
    from scraper.cli.commands import main as run_command

    run_command()


def _leave(*_: object) -> None:
    """End at once: while nothing is loaded, there is nothing to close."""
    os.write(2, sentence(sys.argv[1:], getattr(sys.stderr, "encoding", None) or "utf-8") + b"\n")
    os._exit(130)
