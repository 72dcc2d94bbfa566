"""Samples of a frame, packed without loss so that a browser unpacks them in milliseconds.

A packed frame is the length of a JSON header (4 bytes, little endian), the header, and one zlib stream. The stream holds
planes of bytes: residuals of a prediction from the neighbours to the left, above, and above to the left, zigzagged
(0, -1, 1, -2, …); samples of 16 bits as a plane of low bytes and one of high bytes; colour as green, red - green,
blue - green. Against JPEG-LS, which predicts in the same way, a CT slice takes 5 to 30 per cent more. On this computer's own
loopback the samples go as they are.

Source: the prediction is the median of ISO/IEC 14495-1, A.4.1.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8] | NDArray[np.uint16]
_LEVEL: Final = 6
_WINDOW_BITS: Final = 15
_MEMORY: Final = 9


def _residuals(plane: Plane) -> NDArray[np.uint16]:
    """Zigzagged differences from the median prediction, modulo the plane's bits."""
    bits = plane.dtype.itemsize * 8
    values = plane.astype(np.int32)
    left, above, corner = np.zeros_like(values), np.zeros_like(values), np.zeros_like(values)
    left[:, 1:] = values[:, :-1]
    left[1:, 0] = values[:-1, 0]
    above[1:], above[0] = values[:-1], left[0]
    corner[1:, 1:], corner[1:, 0], corner[0] = values[:-1, :-1], values[:-1, 0], left[0]
    low, high = np.minimum(left, above), np.maximum(left, above)
    predicted = np.where(corner >= high, low, np.where(corner <= low, high, left + above - corner))
    half = 1 << (bits - 1)
    difference = ((values - predicted + half) & ((1 << bits) - 1)) - half
    return np.where(difference < 0, -2 * difference - 1, 2 * difference).astype(np.uint16)


def _planes(samples: Plane) -> bytes:
    if samples.ndim == 3:
        red, green, blue = (samples[..., index] for index in range(3))
        return b"".join(_planes(np.ascontiguousarray(plane)) for plane in (green, red - green, blue - green))
    coded = _residuals(samples)
    low = (coded & 0xFF).astype(np.uint8).tobytes()
    return low if samples.dtype.itemsize == 1 else low + (coded >> 8).astype(np.uint8).tobytes()


def packed(samples: Plane, header: Mapping[str, object], *, as_is: bool = False) -> bytes:
    """A frame as the viewer's program reads it.

    Args:
        samples: (rows, columns) of 8 or 16 bits without a sign, or (rows, columns, 3) of 8 bits.
        header: what the program has to know to display them.
        as_is: in grey, the samples follow the header as they are, in little endian: larger, and sooner done by half.
    """
    rows, columns = samples.shape[:2]
    kind = "rgb" if samples.ndim == 3 else f"grey{samples.dtype.itemsize * 8}"
    as_is = as_is and samples.ndim == 2
    facts = {"kind": kind, "rows": rows, "columns": columns, "as_is": as_is, **header}
    head = json.dumps(facts, ensure_ascii=False).encode()
    if as_is:
        head += b" " * (len(head) % 2)  # the samples begin at an even place: the page reads them where they are
        ordered = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
        return b"".join((struct.pack("<I", len(head)), head, ordered.tobytes()))
    # run lengths and Huffman codes alone: residuals of a slice are noise, in which nothing longer is found
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY, zlib.Z_RLE)
    return struct.pack("<I", len(head)) + head + deflate.compress(_planes(samples)) + deflate.flush()
