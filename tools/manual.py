"""The man page, made from the help: ``python -m tools.manual [FILE]``; by default ``cloudfilm.1``.

``man ./cloudfilm.1`` shows it; a package puts it into ``share/man/man1``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

from scraper.cli.commands import app
from scraper.core.errors import ExitCode


def escaped(text: str) -> str:
    """A text as roff takes it: no line of it is a request, and a hyphen is a minus that can be copied."""
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + plain if plain.startswith((".", "'")) else plain


def _entry(param: Any) -> Iterator[str]:
    """One option or argument."""
    is_option = param.param_type_name == "option"
    name = ", ".join(param.opts) if is_option else str(param.metavar or param.name)
    value = f" {param.metavar}" if is_option and param.metavar else ""
    yield ".TP"
    yield f".B {escaped(name + value)}"
    yield escaped(param.help or "")


def page() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    lines = [
        f'.TH CLOUDFILM 1 "{datetime.now(UTC):%Y-%m-%d}" "cloudfilm {version("cloudfilm")}"',
        ".SH NAME",
        "cloudfilm \\- from the QR code on a hospital's film to a verified DICOM study",
        ".SH SYNOPSIS",
        ".B cloudfilm",
        "COMMAND [OPTIONS] ...",
        ".SH COMMANDS",
    ]
    for name, command in root.commands.items():
        lines += [f".SS {escaped(name)}", escaped(command.help or "")]
        for param in command.params:
            lines += _entry(param)
    lines += [".SH EXIT STATUS"]
    for code in ExitCode:
        lines += [".TP", f".B {code.value}", escaped(code.name.lower().replace("_", " "))]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "cloudfilm.1")
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
