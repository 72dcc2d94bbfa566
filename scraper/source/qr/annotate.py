"""Draw every code on its page: read ones in green, unread suspects in orange."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scraper.core.errors import UnreadableFile
from scraper.source import pages

if TYPE_CHECKING:
    from scraper.source.qr.engines import Polygon

_READ = (0, 160, 60)
_UNREAD = (240, 120, 0)
_LONGEST = 2400  # pixels: enough to see, small enough to send


def draw(path: Path, places: list[tuple[int, Polygon, str]], out: Path, *, password: str = "") -> None:
    """Save the first page with one of ``places`` (page, corners, text), else the first page.

    Raises:
        UnreadableFile: ``path`` can't be read, or ``out`` names no kind of picture.
        OSError: ``out`` can't be written.
    """
    from PIL import Image, ImageDraw

    wanted = min((page for page, _, _ in places), default=1)
    shown = next((page for page in pages.pages(path, password=password) if page.number == wanted), None)
    if shown is None:
        raise UnreadableFile(path=path)
    image = Image.fromarray(shown.grey).convert("RGB")
    shrink = min(1.0, _LONGEST / max(image.size))
    image = image.resize((max(1, round(image.width * shrink)), max(1, round(image.height * shrink))))
    pen = ImageDraw.Draw(image)
    width = max(3, max(image.size) // 300)
    for number, (page, polygon, text) in enumerate(places, 1):
        if page != wanted or not polygon:
            continue
        corners = [(x * shrink, y * shrink) for x, y in polygon]
        colour = _READ if text else _UNREAD
        pen.line([*corners, corners[0]], fill=colour, width=width, joint="curve")
        pen.text((min(x for x, _ in corners), min(y for _, y in corners) - 6 * width), str(number), fill=colour)
    try:
        image.save(out)
    except (ValueError, KeyError) as err:
        raise UnreadableFile(path=out) from err
