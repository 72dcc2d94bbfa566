"""Draws the program's icon, a cloud on a film: for Windows, macOS and Linux from the same shapes."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 1024
FILM, HOLE, CLOUD = "#12343b", "#2d545e", "#e1f2f4"


def draw() -> Image.Image:
    """The icon, 1024 pixels square."""
    image = Image.new("RGBA", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((48, 48, SIDE - 48, SIDE - 48), radius=160, fill=FILM)
    for y in range(136, SIDE - 200, 158):
        for x in (112, SIDE - 112 - 84):
            pen.rounded_rectangle((x, y, x + 84, y + 100), radius=24, fill=HOLE)
    pen.rounded_rectangle((250, 500, 774, 700), radius=100, fill=CLOUD)
    for x, y, radius in ((380, 480, 115), (540, 420, 155), (670, 510, 105)):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=CLOUD)
    return image


def write(folder: Path) -> None:
    """``cloudfilm.png``, ``.ico`` and ``.icns`` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    image = draw()
    image.resize((256, 256), Image.Resampling.LANCZOS).save(folder / "cloudfilm.png")
    image.save(folder / "cloudfilm.ico", sizes=[(side, side) for side in (16, 32, 48, 64, 128, 256)])
    image.save(folder / "cloudfilm.icns")
