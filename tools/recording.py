"""Runs the demonstration's first command and puts its standard output into both READMEs: ``python -m tools.recording``.

An emulated hospital starts on loopback; the patient is invented. Each README gets the words of its own language.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fixtures.demo import PHOTO, SLICES, installed, shown
from fixtures.dicom import chest_ct
from fixtures.sites.shdc import site
from fixtures.world import World
from scraper.core.settings import Language

ROOT = Path(__file__).resolve().parent.parent
READMES = {Language.EN: ROOT / "README.md", Language.ZH: ROOT / "README.zh-CN.md"}


def recorded(language: Language) -> str:
    """The command as a person types it, and its standard output; progress and notes go elsewhere.

    Raises:
        subprocess.CalledProcessError: it did not end well.
    """
    words = ["grab", str(PHOTO.relative_to(ROOT)), "--answer", f"access_code={site.SECURITY_CODE}"]
    with (
        World(site.ShdcSite(chest_ct(slices=SLICES, size=512, seed=11))) as world,
        tempfile.TemporaryDirectory() as place,
    ):
        output = Path(place) / "cloudfilm"
        command = [
            *installed(),
            *words,
            "--lang",
            language.value,
            "-o",
            str(output),
            "--browser",
            "always",
            *world.options,
        ]
        done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, encoding="utf-8")
        printed = done.stdout.replace(f"{place}/", "")
    lines = [line.rstrip() for line in printed.splitlines()]
    return "\n".join([f"$ {shown(words)}", *lines])


def main() -> int:
    """Record in both languages and write."""
    for language, path in READMES.items():
        text = path.read_text(encoding="utf-8")
        path.write_text(
            re.sub(
                r"(<!-- recording: grab -->\n```console\n).*?(\n```\n<!-- end: recording -->)",
                lambda found, language=language: f"{found[1]}{recorded(language)}{found[2]}",
                text,
                flags=re.DOTALL,
            ),
            encoding="utf-8",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
