"""``python -m scraper.testing new NAME [--from bundle.zip]``: the files of a new provider."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scraper.authoring.platform_files import ScaffoldError, new_platform, write
from scraper.cli.interrupt import run
from scraper.core.safe_text import visible


def main(words: list[str] | None = None) -> int:
    """Write the files where the command is run, and name them; 2 where that can't be done."""
    parser = argparse.ArgumentParser(prog="python -m scraper.testing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="write provider, emulated site, facts and tests of a new platform")
    new.add_argument("name", help="of the provider: lower case, as aurora or aurora-cloud")
    new.add_argument("--from", dest="bundle", type=Path, help="a bundle of cloudfilm record: its requests and answers")
    given = parser.parse_args(words)
    try:
        platform = run(new_platform(given.name, given.bundle))
        paths = write(platform, Path.cwd())
    except ScaffoldError as err:
        sys.stderr.write(f"{visible(err)}\n")  # it may name what stands in the bundle
        return 2
    if platform.why_not:
        sys.stderr.write(
            f"The bundle gave host, link and calls, no requests: {visible(platform.why_not)}.\n"
            "README.md lists what was asked; write it in the provider and in site.py.\n"
        )
    for path in paths:
        sys.stdout.write(f"{path.relative_to(Path.cwd())}\n")
    sys.stdout.write(
        f'\nNext: pytest {paths[-1].relative_to(Path.cwd())}, then docs in CONTRIBUTING.md, "Add a hospital".\n'
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
