"""Builds the pages as a site: ``python -m tools.site``, into ``build/site``; any broken link or anchor is an error.

The pages in the repository link to each other as files, so that they also work on a code host: ``page.md`` and its Chinese
twin ``page.zh-CN.md``. A copy of them is made in ``build/pages``, with README, CONTRIBUTING and the others that lie outside
``docs/`` among them, and with links as the site needs them.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "pages"
SITE = ROOT / "build" / "site"
MERMAID = ROOT / ".cache" / "mermaid" / "package" / "dist" / "mermaid.min.js"
DIAGRAM = '<pre class="diagram">'
CHINESE, SITE_CHINESE = ".zh-CN.md", ".zh.md"  # in the repository; in the site, whose theme names languages so
OUTSIDE = {  # a file of the repository → its place in the site
    "README.md": "index.md",
    "README.zh-CN.md": "index.zh.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "report-a-weakness.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "licence.md",
    "tests/benchmarks/README.md": "benchmarks.md",
    "tests/benchmarks/decode.md": "benchmarks-decode.md",
}


def sources() -> dict[str, str]:
    """Every file of the site: its path in the repository → its path in the site."""
    inside = {
        path.relative_to(ROOT).as_posix(): path.relative_to(ROOT / "docs").as_posix().replace(CHINESE, SITE_CHINESE)
        for path in sorted((ROOT / "docs").rglob("*"))
        if path.is_file()
    }
    return inside | OUTSIDE


def site_link(target: str, page: str, places: dict[str, str]) -> str:
    """A link of a page in the repository, as the site needs it.

    Args:
        target: what stands between the parentheses.
        page: the page's path in the repository.
        places: as ``sources`` gives them.
    """
    name, mark, anchor = target.partition("#")
    if "://" in name or not name:
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), name))
    path = f"{path}/README.md" if (ROOT / path).is_dir() else path
    place = places.get(path)
    if place is None:
        return target  # mkdocs names it as broken
    if page.endswith(CHINESE):
        place = place.replace(SITE_CHINESE, ".md")  # the site finds the twin by itself
    return posixpath.relpath(place, posixpath.dirname(places[page]) or ".") + mark + anchor


def site_page(text: str, page: str, places: dict[str, str]) -> str:
    """A page's text with its links as the site needs them; code is left alone."""
    text = re.sub(
        r"^\[(?:简体中文|English)\]\(README\S*\n\n", "", text, flags=re.MULTILINE
    )  # the site has its own switch
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        block
        if block.startswith("```")
        else re.sub(r"\]\(([^)\s]+)\)", lambda found: f"]({site_link(found[1], page, places)})", block)
        for block in blocks
    )


def collect() -> None:
    """Write the site's pages into ``build/pages``."""
    shutil.rmtree(PAGES, ignore_errors=True)
    places = sources()
    for name, place in places.items():
        source, target = ROOT / name, PAGES / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            text = source.read_text(encoding="utf-8")
            if source.suffix != ".md":
                text = f"# {name}\n\n```text\n{text}```\n"
            target.write_text(site_page(text, name, places), encoding="utf-8")
        else:
            shutil.copyfile(source, target)


def draw_diagrams() -> None:
    """Put mermaid into the site and let the pages with diagrams, and no others, load it; without it their text stays."""
    if not MERMAID.is_file():
        return
    shutil.copyfile(MERMAID, SITE / "assets" / MERMAID.name)
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if DIAGRAM in text:
            place = posixpath.relpath("assets", page.relative_to(SITE).parent.as_posix())
            load = f'<script src="{place}/{MERMAID.name}"></script>'
            start = "mermaid.initialize({startOnLoad: false}); mermaid.run({querySelector: '.diagram > code'})"
            page.write_text(text.replace("</body>", f"{load}<script>{start}</script></body>"), encoding="utf-8")


def main() -> int:
    """Build the site; mkdocs's exit code."""
    collect()
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # the theme's advertisement
    code = subprocess.run(words, cwd=ROOT, env=quiet, check=False).returncode
    if code == 0:
        draw_diagrams()
        print(f"the site is in {SITE.relative_to(ROOT)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
