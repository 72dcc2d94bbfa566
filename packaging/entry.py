"""The program that a double click starts: the window; with words behind it, the command line.

It also stands in for the Python interpreter, which the program starts again for its isolated workers (``-P -c CODE …``): a
packed program has no other.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run a worker's code, the command line, or the window."""
    words = sys.argv[1:]
    while words and words[0] in ("-P", "-I", "-B", "-u"):
        words = words[1:]
    if words[:1] == ["-c"]:
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<worker>", "exec"), {"__name__": "__main__"})  # noqa: S102  # as Python itself does with -c
        return
    if words[:1] == ["-m"]:
        import runpy

        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    from scraper.cli.commands import main as run_command

    if not words:
        sys.argv = [sys.argv[0], "app"]
    run_command()


if __name__ == "__main__":
    main()
