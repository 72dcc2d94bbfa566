"""Recover an image's stored values from the samples that a page draws, only where the tags leave no doubt.

A page uploads stored values, or what Rescale Slope and Intercept make of them. Which of both it was is shown by the values that
Bits Stored allows (PS3.3 C.7.6.3, C.11.1); where both fit, nothing is taken, but for unsigned values without a negative one:
read as rescaled ones they would leave no air in the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scraper.protocols import dicom_json

TYPES: Final = {"i2": "<i2", "u2": "<u2", "i4": "<i4", "u4": "<u4", "f2": "<f2", "f4": "<f4"}
MOST_BITS: Final = 16
MOST_PADDINGS: Final = 2  # values outside of what the bits allow: of the padding around the image
SMALLEST_RANGE: Final = 64  # grey levels; of fewer nothing is said
NOISE: Final = 0.25  # of the range: neighbours of random values differ by a third of it
NEAR: Final = 0.02  # of a grey level: what a float may be off a whole number


def stored(kind: str, data: bytes, tags: Mapping[str, Any]) -> bytes | None:
    """Little endian samples of 16 bits, as DICOM stores them; None where they are none, or not beyond doubt.

    Args:
        kind: the type of a sample: one of ``TYPES``; ``m3``: magnitude in two bytes, sign in a third; ``c4``: two bytes of a
            colour with four.
        data: of one image.
        tags: of the image, as DICOM JSON.
    """
    shape = _shape(tags)
    if shape is None or shape.bits <= 8:
        return None
    span = shape.span
    for values in _read(kind, data, shape.count):
        if (found := _chosen(values, span, number(tags, "00281053"), number(tags, "00281052"))) is not None:
            return found.astype(shape.dtype).tobytes()
    return None


def is_plausible(tags: Mapping[str, Any], data: bytes) -> bool:
    """Whether raw samples of 16 bits may be an image's: within its bits but for padding, and neighbours alike more than noise is.

    A body that is encrypted, or packed in a way of the site's own, may be of the very size that the tags say.
    """
    shape = _shape(tags)
    if shape is None or len(data) != 2 * shape.count:
        return True
    values = np.frombuffer(data, shape.dtype).astype(np.int64)
    low, high = shape.span
    outside = values[(values < low) | (values > high)]
    if len(np.unique(outside)) > MOST_PADDINGS:
        return False
    inside = values[(values >= low) & (values <= high)]
    width = int(inside.max() - inside.min()) if len(inside) else 0
    return width < SMALLEST_RANGE or float(np.abs(np.diff(inside)).mean()) < NOISE * width


@dataclass(frozen=True, slots=True)
class _Shape:
    """Samples of one channel and 16 bits allocated: how many, and which values they may have."""

    count: int
    bits: int
    is_signed: bool

    @property
    def span(self) -> tuple[int, int]:
        half = 1 << self.bits - 1
        return (-half, half - 1) if self.is_signed else (0, 2 * half - 1)

    @property
    def dtype(self) -> str:
        return "<i2" if self.is_signed else "<u2"


def _shape(tags: Mapping[str, Any]) -> _Shape | None:
    """None where the tags do not say so, or say something else."""
    rows, columns, allocated, stored_bits, signed, channels = (
        int(number(tags, tag) or 0) for tag in ("00280010", "00280011", "00280100", "00280101", "00280103", "00280002")
    )
    bits = stored_bits or allocated
    if not (rows > 0 and columns > 0 and allocated == MOST_BITS and 0 < bits <= MOST_BITS and channels in (0, 1)):
        return None
    return _Shape(rows * columns, bits, signed == 1)


def number(tags: Mapping[str, Any], tag: str) -> float | None:
    """The number that an attribute's first value is; None where it is none."""
    try:
        return float(dicom_json.text(tags, tag))
    except ValueError:
        return None


def _read(kind: str, data: bytes, count: int) -> list[NDArray[np.float64]]:
    """The values, in each way in which they may be written."""
    if kind in TYPES and len(data) == count * int(kind[1]):
        plain = [np.frombuffer(data, TYPES[kind]).astype(np.float64)]
        if kind == "u2":
            plain.append(np.frombuffer(data, ">u2").astype(np.float64))  # the high byte first, in a pair of channels
        return plain
    if kind == "m3" and len(data) == count * 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.float64)
        return [(parts[:, 0] + 256 * parts[:, 1]) * np.where(parts[:, 2] == 0, -1, 1)]
    if kind == "c4" and len(data) == count * 4:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 4).astype(np.float64)
        is_constant = all(len(np.unique(parts[:, place])) == 1 for place in (2, 3))
        return [parts[:, 0] + 256 * parts[:, 1], 256 * parts[:, 0] + parts[:, 1]] if is_constant else []
    return []


def _chosen(
    values: NDArray[np.float64], span: tuple[int, int], slope: float | None, intercept: float | None
) -> NDArray[np.float64] | None:
    """The stored values, where only one reading is possible."""
    if not np.isfinite(values).all() or len(np.unique(values[:: max(1, len(values) // 4096)])) < 3:
        return None
    plain = _whole(values, span)
    if slope in (None, 1.0) and intercept in (None, 0.0):
        return plain
    if not slope:
        return None
    back = _whole((values - (intercept or 0.0)) / slope, span)
    if plain is None or back is None:
        return back if plain is None else plain
    has_air = (intercept or 0.0) < 0 and span[0] == 0
    return plain if has_air else None


def _whole(values: NDArray[np.float64], span: tuple[int, int]) -> NDArray[np.float64] | None:
    """The values as whole numbers within a range; None where they are none."""
    near = np.rint(values)
    is_whole = bool(np.abs(values - near).max() <= NEAR)
    return near if is_whole and span[0] <= near.min() and near.max() <= span[1] else None
