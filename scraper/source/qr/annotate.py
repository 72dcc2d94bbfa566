"""Draw every code on its page: read ones in green, unread suspects in orange."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scraper.core.errors import UnreadableFile
from scraper.source import pages

if TYPE_CHECKING:
    from PIL import Image

    from scraper.source.qr.engines import Polygon

_READ = (0, 160, 60)
_UNREAD = (240, 120, 0)
_LONGEST = 2400  # pixels: enough to see, small enough to send


def drawn(
    path: Path, number: int, places: Sequence[tuple[Polygon, str]], suffix: str, *, password: str = ""
) -> tuple[bytes | None, int, int]:
    """A page as a picture, smaller where it is large, with ``places`` (corners, text) on it.

    Args:
        path: the file.
        number: of the page, from 1.
        places: what is drawn.
        suffix: of a file of the picture's kind (``.png``).
        password: opens a PDF that has one.

    Returns:
        The picture, None where there is no such kind; columns and rows of the page, in pixels of its codes' polygons.

    Raises:
        UnreadableFile: ``path`` can't be read, or has no such page.
    """
    from PIL import Image, ImageDraw

    shown = next((page for page in pages.pages(path, password=password) if page.number == number), None)
    if shown is None:
        raise UnreadableFile(path=path)
    rows, columns = shown.grey.shape
    image = Image.fromarray(shown.grey)
    shrink = min(1.0, _LONGEST / max(image.size))
    image = image.resize((max(1, round(image.width * shrink)), max(1, round(image.height * shrink))))
    if places:
        image = image.convert("RGB")
    pen = ImageDraw.Draw(image)
    width = max(3, max(image.size) // 300)
    for place, (polygon, text) in enumerate(places, 1):
        if polygon:
            corners = [(x * shrink, y * shrink) for x, y in polygon]
            colour = _READ if text else _UNREAD
            pen.line([*corners, corners[0]], fill=colour, width=width, joint="curve")
            pen.text((min(x for x, _ in corners), min(y for _, y in corners) - 6 * width), str(place), fill=colour)
    return _as_file(image, suffix), columns, rows


def _as_file(image: Image.Image, suffix: str) -> bytes | None:
    from PIL import Image

    kind = Image.registered_extensions().get(suffix)
    if kind is None or kind not in Image.SAVE:
        return None
    out = io.BytesIO()
    try:
        image.save(out, kind)
    except (ValueError, KeyError, OSError):  # a kind that needs another program, or holds no such picture
        return None
    return out.getvalue()
