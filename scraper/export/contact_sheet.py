"""The contact sheet of a series: small pictures with their numbers, under the names of patient, study and series."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from scraper.core.model import Header

MARK: Final = "NOT FOR DIAGNOSIS"
_THUMB: Final = 160  # pixels of a thumbnail's longer side
_ACROSS: Final = 8
_ON_A_SHEET: Final = 64
_LINE: Final = 22  # pixels
_TITLE_SIZE: Final = 16
_NUMBER_SIZE: Final = 13
_NARROWEST: Final = 640  # pixels: a title fits
_YELLOW: Final = (255, 200, 0)
_FONTS: Final = (  # that hold Chinese: of Windows, macOS, Linux
    "msyh.ttc",
    "simhei.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
)


def save(picture: Image.Image, path: Path) -> None:
    """Save a picture with the mark that it is not for diagnosis."""
    if path.suffix == ".png":
        mark = PngInfo()
        mark.add_text("Comment", MARK)
        picture.save(path, pnginfo=mark)
    else:
        picture.save(path, quality=92, comment=MARK)


def chosen(pictures: Sequence[str]) -> list[tuple[int, str]]:
    """The pictures that stand on a sheet, evenly spread, each with its number from 1."""
    places = np.linspace(0, len(pictures) - 1, min(len(pictures), _ON_A_SHEET))
    numbers = dict.fromkeys(round(float(place)) for place in places)
    return [(number + 1, pictures[number]) for number in numbers]


def title_of(header: Header, count: int) -> list[str]:
    """The lines above a sheet: whose study, which series."""
    date = header.study_date
    shown = f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 and date.isdigit() else date
    whose = (header.patient_name.replace("^", " ").strip(), header.patient_id, shown, header.study_description)
    number = "" if header.series_number is None else f"{header.series_number}"
    series = (number, header.modality, header.series_description, f"1–{count}")
    return ["   ".join(part for part in parts if part) for parts in (whose, series)]


def draw_sheet(pictures: list[tuple[int, str]], title: list[str], path: str) -> str:
    """Write a page of small pictures, each with its number; runs in a child process.

    Args:
        pictures: (number, path) of each.
        title: lines above them; the first line of the page says that it is not for diagnosis.
        path: of the page.
    """
    thumbs = []
    for number, picture in pictures:
        with Image.open(picture) as opened:
            thumb = opened.convert("RGB")
        thumb.thumbnail((_THUMB - 4, _THUMB - 4))
        thumbs.append((number, thumb))
    across = min(_ACROSS, len(thumbs))
    down = -(-len(thumbs) // across)
    lines = [MARK, *(line for line in title if line)]
    head = _LINE * len(lines) + 8
    page = Image.new("RGB", (max(across * _THUMB, _NARROWEST), down * _THUMB + head))
    pen = ImageDraw.Draw(page)
    for place, line in enumerate(lines):
        colour = (255, 255, 255) if place else _YELLOW
        pen.text((8, 6 + place * _LINE), _drawable(line), fill=colour, font=_font(_TITLE_SIZE))
    for index, (number, thumb) in enumerate(thumbs):
        left, top = index % across * _THUMB, head + index // across * _THUMB
        page.paste(thumb, (left + (_THUMB - thumb.width) // 2, top + (_THUMB - thumb.height) // 2))
        corner = left + 5, top + 3
        pen.text(corner, str(number), fill=_YELLOW, font=_font(_NUMBER_SIZE), stroke_width=2, stroke_fill=(0, 0, 0))
    save(page, Path(path))
    return path


@cache
def _chinese() -> str:
    """The name of a font of this computer that holds Chinese; empty where there is none."""
    for name in _FONTS:
        try:
            ImageFont.truetype(name, _TITLE_SIZE)
        except OSError:
            continue
        return name
    return ""


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.truetype(_chinese(), size) if _chinese() else ImageFont.load_default(size)


def _drawable(line: str) -> str:
    """The line without what the font has no letters for: boxes in the place of a name help nobody."""
    return line if _chinese() else "".join(char for char in line if ord(char) < 0x2E80).strip()
