"""Pictures for viewing, each with the file's own window, and a contact sheet for each series. Not for diagnosis.

Sources: PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT and windows), C.7.6.3.1.2 (Photometric Interpretation), C.7.6.3.1.7 (Pixel
Aspect Ratio), PS3.4 N.2 (their order).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from scraper.core.errors import CorruptInstance
from scraper.core.model import Problem
from scraper.core.reasons import Reason
from scraper.dicom.elements import PYDICOM_ERRORS, numbers, plain, quiet, sequence
from scraper.dicom.frames import aspect, colour, count_frames, decoded, functional, is_grey
from scraper.dicom.reading import read_file
from scraper.dicom.structure import PIXEL_TAGS
from scraper.export.contact_sheet import MARK, chosen, draw_sheet, save, title_of
from scraper.export.gather import InstanceFile, LeftOut, by_series, problems_of
from scraper.verify import Inspector, is_image

NO_PIXELS: Final = Reason.NO_PIXELS
NOT_DECODED: Final = Reason.PIXELS_NOT_DECODED
ENDED: Final = Reason.DECODER_ENDED

Grey = NDArray[np.float64]


def _window(values: Grey, center: float, width: float, function: str) -> Grey:
    """Scale to 0…1 by a window (PS3.3 C.11.2.1.2.1, C.11.2.1.3)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / max(width, 1e-6)))
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, max(width - 1, 1e-6)
    return np.clip((values - center) / max(width, 1e-6) + 0.5, 0, 1)


def grey(ds: Dataset, stored: NDArray[np.generic], frame: int) -> NDArray[np.uint8]:
    """A monochrome frame as 8 bits: Modality LUT, then VOI LUT or window, then polarity; without a window, 1 to 99 per cent."""
    transform = functional(ds, frame, "PixelValueTransformationSequence")
    values = np.asarray(apply_modality_lut(stored, transform), dtype=np.float64)
    source = functional(ds, frame, "FrameVOILUTSequence")
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


def frames(path: Path) -> Iterator[Image.Image]:
    """The pictures of one instance, one for each frame.

    Raises:
        ValueError, RuntimeError, …: no pixels, or they don't decode (``PYDICOM_ERRORS``).
    """
    ds = read_file(path)
    for number, samples in enumerate(decoded(ds)):
        yield _picture(ds, samples, number)


def thumbnail(path: Path, longest: int) -> bytes:
    """A small JPEG of an instance (its middle frame); nothing where no picture decodes.

    Args:
        path: of the Part 10 file.
        longest: pixels of the longer side.
    """
    try:
        with quiet():
            ds = read_file(path)
            middle = count_frames(ds) // 2
            picture = _picture(ds, next(decoded(ds, [middle])), middle).convert("RGB")
    except (*PYDICOM_ERRORS, CorruptInstance, RuntimeError, OSError, StopIteration):
        return b""
    picture.thumbnail((longest, longest))
    made = BytesIO()
    picture.save(made, "JPEG", quality=80, comment=MARK)
    return made.getvalue()


def small_picture(path: str, longest: int) -> bytes:
    """The same as ``thumbnail``, for a process of its own."""
    return thumbnail(Path(path), longest)


def _picture(ds: Dataset, samples: NDArray[np.generic], frame: int) -> Image.Image:
    """One frame for viewing: windowed, with square pixels."""
    picture = Image.fromarray(grey(ds, samples, frame) if is_grey(ds) else colour(ds, samples))
    ratio = aspect(ds, frame)
    if abs(ratio - 1) > 0.01 and 0.05 < ratio < 20:
        size = (
            (picture.width, round(picture.height * ratio))
            if ratio > 1
            else (round(picture.width / ratio), picture.height)
        )
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return picture


def draw_instance(source: str, stem: str, suffix: str) -> list[str]:
    """Write the pictures of one instance, one for each frame; runs in a child process.

    Args:
        source: the path of the Part 10 file.
        stem: of the pictures' paths; the frame's number is added where there are several.
        suffix: ``.png`` or ``.jpg``.

    Returns:
        Why there is none (empty where there are), then the paths of the pictures.
    """
    made: list[str] = []
    try:
        with quiet():
            ds = read_file(Path(source))
            if not any(tag in ds for tag in PIXEL_TAGS):
                return [NO_PIXELS]
            for number, samples in enumerate(decoded(ds)):
                path = f"{stem}_{number + 1:04}{suffix}" if count_frames(ds) > 1 else stem + suffix
                save(_picture(ds, samples, number), Path(path))
                made.append(path)
    except CorruptInstance as err:
        return [err.cause if isinstance(err.cause, str) else NOT_DECODED, *made]
    except (*PYDICOM_ERRORS, RuntimeError):
        return [NOT_DECODED, *made]
    return ["" if made else NOT_DECODED, *made]


async def draw(
    listed: Sequence[InstanceFile], made: Path, suffix: str, inspector: Inspector
) -> tuple[int, list[Problem]]:
    """Write pictures of all instances, one folder for each series; files are decoded in child processes, which may crash.

    Returns:
        (pictures made, what was left out).
    """
    left_out: list[LeftOut] = []
    count = 0
    for name, members in by_series(listed).items():
        folder = made / name
        folder.mkdir(parents=True)
        answers = await asyncio.gather(
            *(
                inspector.apart(draw_instance, str(member.path), str(folder / f"{member.index:05}"), suffix)
                for member in members
            )
        )
        drawn: list[str] = []
        for member, answer in zip(members, answers, strict=True):
            if answer is None:  # what it had drawn of it may be cut off
                for path in folder.glob(f"{member.index:05}*"):
                    path.unlink()
            why, *paths = answer or [ENDED]
            drawn += paths
            if why:
                is_loss = why != NO_PIXELS or is_image(member.header.sop_class_uid)
                left_out.append(LeftOut(member.name, why, is_loss))
        count += len(drawn)
        if drawn:
            path = folder / f"sheet{suffix}"
            if not await inspector.apart(draw_sheet, chosen(drawn), title_of(members[0].header, len(drawn)), str(path)):
                path.unlink(missing_ok=True)
        else:
            folder.rmdir()
    return count, problems_of(left_out)
