"""The frames of an instance as samples, with the values needed to display them (window, spacing, colours).

Sources: PS3.3 C.7.6.3.1.2 (Photometric Interpretation), C.7.6.3.1.7 (Pixel Aspect Ratio), C.7.6.16 (functional groups).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import iter_pixels

from scraper.dicom import codecs
from scraper.dicom.codestream import JPEG_BASELINE, JPEG_EXTENDED
from scraper.dicom.elements import numbers, plain, sequence
from scraper.dicom.jpeg_scans import with_whole_selection


def functional(ds: Dataset, frame: int, group: str) -> Dataset:
    """The functional group of a frame of an enhanced image (PS3.3 C.7.6.16), else the data set itself."""
    per_frame = sequence(ds, "PerFrameFunctionalGroupsSequence")
    own = per_frame[frame : frame + 1]
    for holder in (*own, *sequence(ds, "SharedFunctionalGroupsSequence")):
        for item in sequence(holder, group):
            return item
    return ds


def is_grey(ds: Dataset) -> bool:
    """Whether one sample makes a pixel that a window applies to."""
    return plain(ds, "PhotometricInterpretation").startswith("MONOCHROME")


def colour(ds: Dataset, samples: NDArray[np.generic]) -> NDArray[np.uint8]:
    """A colour frame as 8 bits; pydicom has turned YBR into RGB."""
    if plain(ds, "PhotometricInterpretation") == "PALETTE COLOR":
        samples = apply_color_lut(samples, ds)
    bits = 16 if samples.dtype.itemsize > 1 else 8
    return np.asarray(samples >> (bits - 8) if bits > 8 else samples, dtype=np.uint8)  # type: ignore[operator]


def spacing(ds: Dataset, frame: int) -> tuple[float, float] | None:
    """(between rows, between columns) in mm, or as a ratio without a unit; None where nothing is given."""
    measures = functional(ds, frame, "PixelMeasuresSequence")
    for holder, keyword in ((measures, "PixelSpacing"), (ds, "ImagerPixelSpacing"), (ds, "PixelAspectRatio")):
        pair = numbers(holder, keyword, 2)
        if pair and min(pair) > 0:
            return pair[0], pair[1]
    return None


def aspect(ds: Dataset, frame: int) -> float:
    """Pixel height divided by pixel width."""
    pair = spacing(ds, frame)
    return pair[0] / pair[1] if pair else 1.0


def count_frames(ds: Dataset) -> int:
    """Number of Frames; 1 where it is absent."""
    return max(1, int((numbers(ds, "NumberOfFrames") or (1,))[0]))


def decoded(ds: Dataset, indices: list[int] | None = None) -> Iterator[NDArray[np.generic]]:
    """The frames' samples; also of a JPEG stream whose scan header a strict decoder rejects.

    Args:
        ds: with its pixels and file meta.
        indices: of the frames that are wanted; by default all.
    """
    if ds.file_meta.TransferSyntaxUID in (JPEG_BASELINE, JPEG_EXTENDED):
        streams = list(generate_frames(ds.PixelData, number_of_frames=count_frames(ds)))
        mended = [with_whole_selection(stream) for stream in streams]
        if any(mended):
            whole = [new or old for new, old in zip(mended, streams, strict=True)]
            ds.PixelData = encapsulate(whole)
    codecs.register()
    if not ds.file_meta.TransferSyntaxUID.is_encapsulated and plain(ds, "PhotometricInterpretation") == "YBR_FULL_422":
        # pydicom 3.0.2 takes the frames behind the first one for YBR_FULL, from wrong places
        wanted = range(count_frames(ds)) if indices is None else indices
        return chain.from_iterable(iter_pixels(ds, indices=[frame]) for frame in wanted)
    return iter_pixels(ds, indices=indices)
