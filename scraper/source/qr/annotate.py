"""Draw every code on its page: read ones in green, unread suspects in orange."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from scraper.core.errors import UnreadableFile
from scraper.source import pages

if TYPE_CHECKING:
    from scraper.source.qr.engines import Polygon

_READ = (0, 160, 60)
_UNREAD = (240, 120, 0)
_LONGEST = 2400  # pixels: enough to see, small enough to send


def drawn(path: Path, places: list[tuple[int, Polygon, str]], suffix: str, *, password: str = "") -> bytes | None:
    """The first page with one of ``places`` (page, corners, text), else the first page, as a picture.

    Args:
        path: the file.
        places: what is drawn.
        suffix: of a file of the picture's kind (``.png``); None is returned for one that there is not.
        password: opens a PDF that has one.

    Raises:
        UnreadableFile: ``path`` can't be read.
    """
    from PIL import Image, ImageDraw

    kind = Image.registered_extensions().get(suffix)
    if kind is None or kind not in Image.SAVE:
        return None

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
    out = io.BytesIO()
    try:
        image.save(out, kind)
    except (ValueError, KeyError, OSError):  # a kind that needs another program, or holds no such picture
        return None
    return out.getvalue()
