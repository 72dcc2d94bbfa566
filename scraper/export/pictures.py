"""Pictures for looking at: each with the file's own window, and a contact sheet a series. Not for diagnosis.

Sources: PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT and windows), C.7.6.3.1.2 (Photometric Interpretation), C.7.6.3.1.7 (Pixel
Aspect Ratio), PS3.4 N.2 (their order).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import iter_pixels

from scraper.assemble.part10 import PYDICOM_ERRORS, numbers, plain, quiet, sequence
from scraper.export.gather import Listed
from scraper.model import Problem

MARK: Final = "NOT FOR DIAGNOSIS"
_THUMB: Final = 160  # pixels of a thumbnail's longer side
_ACROSS: Final = 8
_ON_A_SHEET: Final = 64

Grey = NDArray[np.float64]


def _window(values: Grey, center: float, width: float, function: str) -> Grey:
    """0…1 by a window (PS3.3 C.11.2.1.2.1, C.11.2.1.3)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / max(width, 1e-6)))
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, max(width - 1, 1e-6)
    return np.clip((values - center) / max(width, 1e-6) + 0.5, 0, 1)


def _functional(ds: Dataset, frame: int, group: str) -> Dataset:
    """The functional group of a frame of an enhanced image (PS3.3 C.7.6.16), else the data set itself."""
    per_frame = sequence(ds, "PerFrameFunctionalGroupsSequence")
    own = per_frame[frame : frame + 1]
    for holder in (*own, *sequence(ds, "SharedFunctionalGroupsSequence")):
        for item in sequence(holder, group):
            return item
    return ds


def grey(ds: Dataset, stored: NDArray[np.generic], frame: int) -> NDArray[np.uint8]:
    """A monochrome frame as 8 bits: Modality LUT, then VOI LUT or window, then polarity; without a window, 1 to 99 per cent."""
    transform = _functional(ds, frame, "PixelValueTransformationSequence")
    values = np.asarray(apply_modality_lut(stored, transform), dtype=np.float64)
    source = _functional(ds, frame, "FrameVOILUTSequence")
    window = numbers(source, "WindowCenter"), numbers(source, "WindowWidth")
    if sequence(source, "VOILUTSequence"):
        looked_up = np.asarray(apply_voi(values.astype(np.int64), source), dtype=np.float64)
        bits = int(sequence(source, "VOILUTSequence")[0].LUTDescriptor[2])
        shown = np.clip(looked_up / (2**bits - 1), 0, 1)
    elif window[0] and window[1]:
        shown = _window(values, window[0][0], window[1][0], plain(source, "VOILUTFunction"))
    else:
        low, high = np.percentile(values, (1, 99))
        shown = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    if plain(ds, "PhotometricInterpretation") == "MONOCHROME1":  # Presentation LUT Shape says the same again
        shown = 1 - shown
    return np.asarray(np.round(shown * 255), dtype=np.uint8)


def _colour(ds: Dataset, samples: NDArray[np.generic]) -> NDArray[np.uint8]:
    """A colour frame as 8 bits; pydicom has turned YBR into RGB."""
    if plain(ds, "PhotometricInterpretation") == "PALETTE COLOR":
        samples = apply_color_lut(samples, ds)
    bits = 16 if samples.dtype.itemsize > 1 else 8
    return np.asarray(samples >> (bits - 8) if bits > 8 else samples, dtype=np.uint8)  # type: ignore[operator]


def _aspect(ds: Dataset, frame: int) -> float:
    """How much higher than wide a pixel is."""
    measures = _functional(ds, frame, "PixelMeasuresSequence")
    for holder, keyword in ((measures, "PixelSpacing"), (ds, "ImagerPixelSpacing"), (ds, "PixelAspectRatio")):
        pair = numbers(holder, keyword, 2)
        if pair and min(pair) > 0:
            return pair[0] / pair[1]
    return 1.0


def frames(path: Path) -> Iterator[Image.Image]:
    """The pictures of one instance, one for each frame.

    Raises:
        ValueError, RuntimeError, …: no pixels, or none that decode (``PYDICOM_ERRORS``).
    """
    ds = pydicom.dcmread(path)
    for number, samples in enumerate(iter_pixels(ds)):
        yield _picture(ds, samples, number)


def thumbnail(path: Path, longest: int) -> bytes:
    """A small JPEG of an instance, of its middle frame where it has several; nothing where it has no picture that decodes.

    Args:
        path: of the Part 10 file.
        longest: pixels of the longer side.
    """
    try:
        with quiet():
            ds = pydicom.dcmread(path)
            count = numbers(ds, "NumberOfFrames")
            middle = int(count[0]) // 2 if count else 0
            picture = _picture(ds, next(iter_pixels(ds, indices=[middle])), middle).convert("RGB")
    except (*PYDICOM_ERRORS, RuntimeError, OSError, StopIteration):
        return b""
    picture.thumbnail((longest, longest))
    made = BytesIO()
    picture.save(made, "JPEG", quality=80, comment=MARK)
    return made.getvalue()


def _picture(ds: Dataset, samples: NDArray[np.generic], frame: int) -> Image.Image:
    """One frame as it is looked at: windowed, and its pixels square."""
    is_grey = plain(ds, "PhotometricInterpretation").startswith("MONOCHROME")
    picture = Image.fromarray(grey(ds, samples, frame) if is_grey else _colour(ds, samples))
    aspect = _aspect(ds, frame)
    if abs(aspect - 1) > 0.01 and 0.05 < aspect < 20:
        size = (
            (picture.width, round(picture.height * aspect))
            if aspect > 1
            else (round(picture.width / aspect), picture.height)
        )
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return picture


def _save(picture: Image.Image, path: Path) -> None:
    if path.suffix == ".png":
        mark = PngInfo()
        mark.add_text("Comment", MARK)
        picture.save(path, pnginfo=mark)
    else:
        picture.save(path, quality=92, comment=MARK)


def _sheet(thumbs: list[Image.Image], title: str, path: Path) -> None:
    """Up to ``_ON_A_SHEET`` pictures of a series on one page, under a line that says what it is not for."""
    across = min(_ACROSS, len(thumbs))
    down = -(-len(thumbs) // across)
    page = Image.new("RGB", (max(across * _THUMB, 320), down * _THUMB + 24))
    ImageDraw.Draw(page).text((6, 6), f"{MARK}   {title}", fill=(255, 200, 0))
    for index, thumb in enumerate(thumbs):
        left = index % across * _THUMB + (_THUMB - thumb.width) // 2
        top = 24 + index // across * _THUMB + (_THUMB - thumb.height) // 2
        page.paste(thumb, (left, top))
    _save(page, path)


def _make(listed: Iterable[Listed], made: Path, suffix: str) -> tuple[int, list[Problem]]:
    by_series: dict[str, list[Listed]] = defaultdict(list)
    for one in listed:
        by_series[one.series].append(one)
    count, skipped = 0, []
    for name, members in by_series.items():
        thumbs: list[Image.Image] = []
        chosen = {round(place) for place in np.linspace(1, len(members), min(len(members), _ON_A_SHEET))}
        for one in members:
            try:
                with quiet():
                    for frame, picture in enumerate(frames(one.path), start=1):
                        several = one.header.frames is not None and one.header.frames > 1
                        path = (
                            made
                            / name
                            / (f"{one.index:05}_{frame:04}{suffix}" if several else f"{one.index:05}{suffix}")
                        )
                        path.parent.mkdir(parents=True, exist_ok=True)
                        _save(picture, path)
                        count += 1
                        if (one.index in chosen or several) and len(thumbs) < _ON_A_SHEET:
                            thumb = picture.convert("RGB")
                            thumb.thumbnail((_THUMB - 4, _THUMB - 4))
                            thumbs.append(thumb)
            except (*PYDICOM_ERRORS, RuntimeError):
                skipped.append(one.header.sop_instance_uid or one.path.name)  # no pixels, or none that decode
        if thumbs:
            _sheet(thumbs, f"series {members[0].header.series_number or ''}", made / name / f"sheet{suffix}")
    made.mkdir(exist_ok=True)
    return count, [Problem("export-skipped", tuple(skipped), fatal=False)] if skipped else []


def png(listed: Iterable[Listed], made: Path) -> tuple[int, list[Problem]]:
    """PNG pictures, one folder a series."""
    return _make(listed, made, ".png")


def jpg(listed: Iterable[Listed], made: Path) -> tuple[int, list[Problem]]:
    """JPEG pictures, one folder a series."""
    return _make(listed, made, ".jpg")
