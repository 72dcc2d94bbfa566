"""Upper bound of one object's size in bytes, from its tags or its list, before it is fetched."""

from __future__ import annotations

from typing import Final

from scraper.core.model import Tags
from scraper.dicom import values

TIMES: Final = (
    4  # a site may say fewer bits than it sends, or send text for bytes; codestreams are smaller than samples
)
BESIDE: Final = 64 * 2**20  # bytes of everything but the pixels: overlays, private elements, a thumbnail
MOST_BYTES: Final = 8  # of a sample (PS3.5 8.1.1: doubles)
OF_ONE_FRAME: Final = tuple(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "2", "4", "128", "6.1")
)
"""Storage classes of one frame (PS3.3 A): CR, DX, MG, IO, CT, MR, PET, US. Others may have any number of frames."""


def largest(tags: Tags, frames: int = 0) -> int:
    """The maximum size of an object in bytes; 0 where its tags are insufficient.

    Args:
        tags: as the site gives them.
        frames: that are requested, where known; else Number of Frames counts.
    """
    known = values.by_tag(tags)
    rows, columns = _count(known, "Rows"), _count(known, "Columns")
    number_of_frames = _count(known, "NumberOfFrames")
    if not number_of_frames and not frames and _single(known, "SOPClassUID") not in OF_ONE_FRAME:
        return 0
    bits = _count(known, "BitsAllocated")
    size = min(-(-bits // 8), MOST_BYTES) if bits else MOST_BYTES
    samples = _count(known, "SamplesPerPixel") or 3
    pixels = rows * columns * samples * size * max(number_of_frames, frames, 1)
    return pixels * TIMES + BESIDE if pixels else 0


def _single(tags: Tags, keyword: str) -> str:
    value = values.lookup(tags, keyword)
    return str(value[0] if isinstance(value, list) and value else value).strip()


def _count(tags: Tags, keyword: str) -> int:
    try:
        number = int(float(_single(tags, keyword)))
    except (ValueError, OverflowError):
        return 0
    return number if 0 < number < 1 << 31 else 0
