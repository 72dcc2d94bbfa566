"""Draw every code on its page: read ones in green, unread suspects in orange."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scraper.core.errors import UnreadableFile
from scraper.source import pages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from scraper.source.qr.engines import Polygon

_READ = (0, 160, 60)
_UNREAD = (240, 120, 0)
_LONGEST = 2400  # pixels: enough to see, small enough to send


def save_page(path: Path, number: int, out: Path, *, password: str = "") -> tuple[int, int]:
    """Save a page as it is, smaller where it is large.

    Returns:
        Columns and rows of the page, in pixels of its codes' polygons.

    Raises:
        UnreadableFile: ``path`` can't be read, or has no such page. OSError: ``out`` can't be written.
    """
    from PIL import Image

    grey = _page(path, number, password)
    image, _ = _small(Image.fromarray(grey))
    image.save(out)
    return grey.shape[1], grey.shape[0]


def _page(path: Path, number: int, password: str) -> NDArray[np.uint8]:
    shown = next((page for page in pages.pages(path, password=password) if page.number == number), None)
    if shown is None:
        raise UnreadableFile(path=path)
    return shown.grey


def _small(image: Image.Image) -> tuple[Image.Image, float]:
    """The picture at a size to be looked at, and by how much it is smaller."""
    shrink = min(1.0, _LONGEST / max(image.size))
    return image.resize((max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))), shrink


def draw(path: Path, places: list[tuple[int, Polygon, str]], out: Path, *, password: str = "") -> None:
    """Save the first page with one of ``places`` (page, corners, text), else the first page.

    Raises:
        UnreadableFile: ``path`` can't be read, or ``out`` names no kind of picture.
        OSError: ``out`` can't be written.
    """
    from PIL import Image, ImageDraw

    wanted = min((page for page, _, _ in places), default=1)
    grey = _page(path, wanted, password)
    image, shrink = _small(Image.fromarray(grey).convert("RGB"))
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
