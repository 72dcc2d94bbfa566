"""Samples → a codestream of a given coding: JPEG 2000, JPEG-LS, JPEG, lossless JPEG, RLE, PNG.

Source: PS3.5 annexes A and G.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from PIL import Image
from pydicom.pixels.encoders.base import get_encoder

from scraper.core.sniff import Kind
from scraper.dicom import codec_process, codecs
from scraper.dicom.codestream import RLE_LOSSLESS, Codestream
from scraper.dicom.elements import PYDICOM_ERRORS, quiet

_PILLOW: Final = {Kind.JPEG: "JPEG", Kind.PNG: "PNG"}


def encoded(samples: np.ndarray, about: Codestream, syntax: str) -> bytes | None:
    """Encode the samples in the coding of ``about`` in a child process; None where no encoder exists.

    Args:
        samples: (rows, columns) or (rows, columns, components), not negative.
        about: the stream whose coding to use.
        syntax: its Transfer Syntax UID.
    """
    values = {"shape": samples.shape, "dtype": samples.dtype.str, "syntax": syntax, "about": asdict(about)}
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
    if about.kind in _PILLOW and about.bits <= 8 and not (about.kind is Kind.JPEG and about.is_lossless):
        return _by_pillow(samples.astype(np.uint8), _PILLOW[about.kind])
    if about.kind is Kind.PNG:
        return _by_pillow(samples.astype(np.uint16), "PNG") if about.components == 1 else None
    if about.kind is Kind.JPEG and about.components > 1:
        return None
    typed = np.ascontiguousarray(samples.astype(f"{'i' if about.is_signed else 'u'}{1 if about.bits <= 8 else 2}"))
    try:
        with quiet():
            return _lossless(typed, about, syntax)
    except (*codecs.ERRORS, *PYDICOM_ERRORS):
        return None


def _by_pillow(samples: np.ndarray, kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(samples).save(out, kind)
    return out.getvalue()


def _lossless(samples: np.ndarray, about: Codestream, syntax: str) -> bytes | None:
    if syntax == RLE_LOSSLESS:
        return _by_pydicom(samples, about)
    if about.kind in {Kind.J2K, Kind.JPEG_LS, Kind.JPEG}:
        return codecs.encode_lossless(samples, about.kind, about.bits)
    return None


def _by_pydicom(samples: np.ndarray, about: Codestream) -> bytes:
    options: dict[str, Any] = {
        "rows": about.rows,
        "columns": about.columns,
        "samples_per_pixel": about.components,
        "number_of_frames": 1,
        "bits_allocated": 8 * samples.dtype.itemsize,
        "bits_stored": about.bits,
        "pixel_representation": int(about.is_signed),
        "photometric_interpretation": "MONOCHROME2" if about.components == 1 else "RGB",
        "planar_configuration": 0,
    }
    made: bytes = get_encoder(RLE_LOSSLESS).encode(samples, **options)
    return made
