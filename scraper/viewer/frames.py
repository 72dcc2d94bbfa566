"""Pack the frames of one file for the viewer. Runs in a child process.

Sources: PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT and windows), C.7.6.3.1.2 (Photometric Interpretation).
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from scraper.core.errors import CorruptInstance
from scraper.dicom.elements import PYDICOM_ERRORS, first, numbers, plain, quiet, sequence
from scraper.dicom.frames import aspect, colour, decoded, functional, is_grey
from scraper.dicom.reading import read_file
from scraper.viewer.pack import packed

MOST_WINDOWS: Final = 6  # of one frame
_MOST_ENTRIES: Final = 1 << 16  # of a VOI LUT (PS3.3 C.11.2.1.1: 0 means so many)
_MOST_AS_IS: Final = 1 << 20  # samples
_STEPS: Final = (1 << 16) - 1


def pack_frames(path: str, start: int, count: int, *, as_is: bool = False) -> list[bytes]:
    """Some frames of a Part 10 file, each packed; an empty one stands for a frame that can't be decoded.

    Args:
        path: of the file.
        start: the first frame that is wanted, from 0.
        count: how many; fewer come where the file ends.
        as_is: grey ones of a usual size are not compressed: for a viewer on this computer.
    """
    made: list[bytes] = []
    try:
        with quiet():
            ds = read_file(Path(path))
            for offset, samples in enumerate(decoded(ds, list(range(start, start + count)))):
                made.append(_frame(ds, samples, start + offset, as_is=as_is))
    except (*PYDICOM_ERRORS, CorruptInstance, RuntimeError, OSError):
        return made + [b""] * (count - len(made))
    return made + [b""] * (count - len(made))


def _frame(ds: Dataset, samples: NDArray[Any], frame: int, *, as_is: bool) -> bytes:
    ratio = aspect(ds, frame)
    header: dict[str, object] = {"aspect": ratio if 0.05 < ratio < 20 else 1.0}
    if not is_grey(ds):
        return packed(np.ascontiguousarray(colour(ds, samples)[..., :3]), header)
    transform = functional(ds, frame, "PixelValueTransformationSequence")
    slope, intercept = 1.0, 0.0
    if sequence(transform, "ModalityLUTSequence"):
        samples = apply_modality_lut(samples, transform)
    else:
        slope = (numbers(transform, "RescaleSlope") or (1.0,))[0] or 1.0
        intercept = (numbers(transform, "RescaleIntercept") or (0.0,))[0]
    if samples.dtype.itemsize > 2 or samples.dtype.kind == "f":
        samples, slope, intercept = _sixteen_bits(samples, slope, intercept)
    low, high = (value * slope + intercept for value in _percentiles(samples))
    is_signed = samples.dtype.kind == "i"
    header |= {
        "signed": is_signed,
        "slope": slope,
        "intercept": intercept,
        "low": float(min(low, high)),
        "high": float(max(low, high)),
        "least": float(samples.min()) * slope + intercept,
        "most": float(samples.max()) * slope + intercept,
        "inverted": plain(ds, "PhotometricInterpretation") == "MONOCHROME1",
        **_display(functional(ds, frame, "FrameVOILUTSequence")),
    }
    if transform_unit := plain(transform, "RescaleType") or ("HU" if plain(ds, "Modality") == "CT" else ""):
        header["unit"] = transform_unit[:16]
    width: Any = np.uint8 if samples.dtype.itemsize == 1 and not is_signed else np.uint16
    if is_signed and samples.dtype.itemsize == 1:
        samples = samples.astype(np.int16)
    return packed(np.ascontiguousarray(samples).view(width), header, as_is=as_is and samples.size <= _MOST_AS_IS)


def _percentiles(samples: NDArray[Any]) -> tuple[float, float]:
    """The first and the 99th percentile, as ``numpy.percentile`` gives them, of integers of 16 bits: counted, not sorted."""
    values = samples.ravel()
    least = int(values.min())
    ends = np.cumsum(np.bincount(values.astype(np.intp) - least))  # how many are no greater than each value

    def at(share: float) -> float:
        place, rest = divmod(share * (len(values) - 1), 1)
        below, above = np.searchsorted(ends, [place, min(place + 1, len(values) - 1)], "right") + least
        return float(below + (above - below) * rest)

    return at(0.01), at(0.99)


def _sixteen_bits(samples: NDArray[Any], slope: float, intercept: float) -> tuple[NDArray[Any], float, float]:
    """Samples of 32 bits or with a fraction, as 16 bits between their least and greatest value, with their rescale."""
    values = np.nan_to_num(np.asarray(samples, dtype=np.float64), posinf=0.0, neginf=0.0)
    least, most = float(values.min()), float(values.max())
    if samples.dtype.kind in "iu" and most - least <= _STEPS:
        return (values - least).astype(np.uint16), slope, intercept + slope * least
    step = (most - least) / _STEPS or 1.0
    return np.round((values - least) / step).astype(np.uint16), slope * step, intercept + slope * least


def _display(source: Dataset) -> dict[str, Any]:
    """The windows and the VOI LUT that a file gives."""
    centers, widths = numbers(source, "WindowCenter") or (), numbers(source, "WindowWidth") or ()
    windows = [[center, width] for center, width in zip(centers, widths, strict=False) if width > 0]
    found: dict[str, Any] = {"windows": windows[:MOST_WINDOWS], "function": plain(source, "VOILUTFunction")[:16]}
    for item in sequence(source, "VOILUTSequence")[:1]:
        descriptor, data = numbers(item, "LUTDescriptor", 3), _lut_data(item)
        if descriptor and data is not None and len(data):
            table = base64.b64encode(data.astype("<u2").tobytes()).decode()
            found["lut"] = {"first": descriptor[1], "bits": descriptor[2], "table": table}
    return found


def _lut_data(item: Dataset) -> NDArray[np.uint16] | None:
    """LUT Data as numbers, whatever its VR; None where there is none."""
    value = item.get("LUTData")
    if isinstance(value, bytes):
        return np.frombuffer(value[: len(value) // 2 * 2], dtype="<u2")[:_MOST_ENTRIES]
    if first(item, "LUTData") is None or value is None:
        return None
    return np.asarray(value, dtype=np.int64).ravel()[:_MOST_ENTRIES].astype(np.uint16)
