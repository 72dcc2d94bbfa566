"""Samples of a PNG, for the decoding process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, UnidentifiedImageError


def read_samples(header: Mapping[str, Any], data: bytes) -> bytes | None:
    """Samples, little endian, by pixel; None where it does not decode, or holds no pixel values.

    Args:
        header: with ``bits`` of the PNG's own header.
        data: the PNG.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.mode not in {"L", "I;16", "RGB"} or header["bits"] not in {8, 16}:
                return None
            if picture.mode == "RGB" and header["bits"] == 16:
                return None
            return picture.tobytes()
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None
