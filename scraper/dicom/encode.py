"""Samples → a codestream of a given coding: JPEG 2000, JPEG-LS, JPEG, lossless JPEG, RLE, PNG.

Sources: PS3.5 annexes A and G; ISO 10918-1 annex H (lossless JPEG, predictor 1).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from PIL import Image
from pydicom.pixels.encoders.base import get_encoder

from scraper.core.sniff import Kind
from scraper.dicom import codec_process
from scraper.dicom.codestream import (
    J2K,
    J2K_LOSSLESS,
    JPEG_LS,
    JPEG_LS_NEAR,
    RLE_LOSSLESS,
    Codestream,
)
from scraper.dicom.elements import PYDICOM_ERRORS, quiet

_PILLOW: Final = {Kind.JPEG: "JPEG", Kind.PNG: "PNG"}
_CODE_BITS: Final = 5  # every category of a difference has a code of this length; 17 of 31 are used


def encoded(samples: np.ndarray, about: Codestream, syntax: str) -> bytes | None:
    """Encode the samples in the coding of ``about`` in a child process; None where no encoder exists.

    Args:
        samples: (rows, columns) or (rows, columns, components), not negative.
        about: the stream whose coding to use.
        syntax: its Transfer Syntax UID.
    """
    values = {
        "shape": samples.shape,
        "dtype": samples.dtype.str,
        "syntax": syntax,
        "about": asdict(about),
    }
    return codec_process.SHARED.ask("encode", values, np.ascontiguousarray(samples).tobytes())


def encode_samples(header: Mapping[str, Any], data: bytes) -> bytes | None:
    """Like ``encoded``, inside the child process.

    Args:
        header: ``shape``, ``dtype``, ``syntax`` and ``about``.
        data: the samples.
    """
    samples = np.frombuffer(data, dtype=header["dtype"]).reshape(header["shape"])
    values = {**header["about"], "kind": Kind(header["about"]["kind"])}
    return _encoded_here(samples, Codestream(**values), header["syntax"])


def _encoded_here(samples: np.ndarray, about: Codestream, syntax: str) -> bytes | None:
    if about.kind is Kind.JPEG and about.is_lossless:
        return lossless_jpeg(samples, about.bits) if about.components == 1 else None
    if about.kind in _PILLOW and about.bits <= 8:
        out = io.BytesIO()
        Image.fromarray(samples.astype(np.uint8)).save(out, _PILLOW[about.kind])
        return out.getvalue()
    if about.kind is Kind.PNG and about.components == 1:
        out = io.BytesIO()
        Image.fromarray(samples.astype(np.uint16)).save(out, "PNG")
        return out.getvalue()
    fallback = {Kind.J2K: J2K_LOSSLESS, Kind.JPEG_LS: JPEG_LS}.get(about.kind, "")
    chosen = syntax if syntax in (J2K_LOSSLESS, JPEG_LS, RLE_LOSSLESS) else fallback
    if syntax in (J2K, JPEG_LS_NEAR):
        chosen = fallback  # a lossless stream is allowed there
    return _by_pydicom(samples, about, chosen) if chosen else None


def _by_pydicom(samples: np.ndarray, about: Codestream, syntax: str) -> bytes | None:
    allocated = 8 if about.bits <= 8 else 16
    options: dict[str, Any] = {
        "rows": about.rows,
        "columns": about.columns,
        "samples_per_pixel": about.components,
        "number_of_frames": 1,
        "bits_allocated": allocated,
        "bits_stored": about.bits,
        "pixel_representation": int(about.is_signed),
        "photometric_interpretation": "MONOCHROME2" if about.components == 1 else "RGB",
        "planar_configuration": 0,
    }
    kind = f"{'i' if about.is_signed else 'u'}{allocated // 8}"
    try:
        with quiet():
            made: bytes = get_encoder(syntax).encode(samples.astype(kind), **options)
    except PYDICOM_ERRORS:
        return None
    return made


def lossless_jpeg(samples: np.ndarray, bits: int) -> bytes:
    """Encode JPEG process 14, selection value 1: each sample as its difference to the preceding one.

    Args:
        samples: (rows, columns), from 0 to below ``2 ** bits``.
        bits: precision, 2 to 16.
    """
    rows, columns = samples.shape
    values = samples.astype(np.int32)
    before = np.empty_like(values)
    before[:, 1:] = values[:, :-1]
    before[1:, 0] = values[:-1, 0]
    before[0, 0] = 1 << (bits - 1)
    difference = (values - before).ravel()
    size = np.zeros(difference.shape, np.int32)
    for bit in range(16):
        size += np.abs(difference) >= 1 << bit
    extra = np.where(difference < 0, difference + (1 << size) - 1, difference)
    length = size + _CODE_BITS
    code = (size << size) | extra  # the code of a category is its own number, in five bits
    ends = np.cumsum(length)
    total = int(ends[-1])
    stream = np.ones(-(-total // 8) * 8, np.uint8)
    for bit in range(int(length.max())):
        has = length > bit
        stream[(ends - 1 - bit)[has]] = (code[has] >> bit) & 1
    packed = np.packbits(stream).tobytes().replace(b"\xff", b"\xff\x00")
    table = bytes([0] * (_CODE_BITS - 1) + [17] + [0] * (16 - _CODE_BITS)) + bytes(range(17))
    frame = struct.pack(">BHHBBBB", bits, rows, columns, 1, 1, 0x11, 0)
    return b"".join(
        (
            b"\xff\xd8",
            b"\xff\xc3" + struct.pack(">H", 2 + len(frame)) + frame,
            b"\xff\xc4" + struct.pack(">H", 3 + len(table)) + b"\x00" + table,
            b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 0, 0),
            packed,
            b"\xff\xd9",
        )
    )
