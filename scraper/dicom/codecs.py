"""One image codestream to samples and back: JPEG, JPEG-LS, JPEG 2000, HTJ2K, RLE. Call it in worker processes only.

imagecodecs has CharLS, OpenJPEG and libjpeg-turbo in one wheel under permissive licences. Where damage must be distinguished from
a picture, 8-bit lossy JPEG goes through simplejpeg instead, which raises on every warning of libjpeg-turbo: without that, a scan
that ends early decodes to grey. Of other JPEG (12-bit lossy, lossless) a scan that ends early is known by decoding it once more,
with more bytes behind it.

Sources: PS3.5 8.2 and annexes A.4 and G.
"""

from __future__ import annotations

from typing import Any, Final

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from scraper.core.sniff import Kind
from scraper.dicom.codestream import Codestream
from scraper.dicom.jpeg_scans import has_huffman_tables, with_longer_scans

PLUGIN: Final = "imagecodecs"
_KINDS: Final = {
    JPEGBaseline8Bit: Kind.JPEG,
    JPEGExtended12Bit: Kind.JPEG,
    JPEGLossless: Kind.JPEG,
    JPEGLosslessSV1: Kind.JPEG,
    JPEGLSLossless: Kind.JPEG_LS,
    JPEGLSNearLossless: Kind.JPEG_LS,
    JPEG2000Lossless: Kind.J2K,
    JPEG2000: Kind.J2K,
    HTJ2KLossless: Kind.J2K,
    HTJ2KLosslessRPCL: Kind.J2K,
    HTJ2K: Kind.J2K,
}
DECODER_DEPENDENCIES: Final = dict.fromkeys(_KINDS, (PLUGIN,))  # what pydicom asks of a plug-in's module
ERRORS: Final = (  # what the libraries raise over damaged data; imagecodecs' own errors are RuntimeErrors
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    OSError,
    MemoryError,
    ArithmeticError,
)


def decode(data: bytes, kind: Kind) -> NDArray[np.generic]:
    """Samples of one codestream, (rows, columns) or (rows, columns, components), its components not converted.

    Args:
        data: the codestream, without JP2 boxes.
        kind: ``JPEG``, ``JPEG_LS`` or ``J2K``.

    Raises:
        one of ``ERRORS``: the data is damaged beyond decoding.
    """
    if kind is Kind.JPEG_LS:
        return np.asarray(imagecodecs.jpegls_decode(data))
    if kind is Kind.JPEG:
        is_colour = _components(data) == 3
        space = "YCBCR" if is_colour else None  # the same in and out: no conversion
        return np.asarray(imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space))
    return np.asarray(imagecodecs.jpeg2k_decode(data))


def decode_strictly(data: bytes, stream: Codestream) -> NDArray[np.generic]:
    """As ``decode``, but damage that a viewer would show as grey or stripes is an error too; colours may be converted.

    Raises:
        one of ``ERRORS``: the data is damaged.
    """
    if stream.kind is Kind.JPEG and not has_huffman_tables(data):
        raise ValueError("no Huffman tables")  # libjpeg-turbo would take the usual ones
    if stream.kind is Kind.JPEG and stream.bits <= 8 and not stream.is_lossless and stream.components in {1, 3}:
        space = "GRAY" if stream.components == 1 else "RGB"
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace=space, strict=True))
    samples = decode(data, stream.kind)
    longer = with_longer_scans(data) if stream.kind is Kind.JPEG else None
    if longer is not None and not np.array_equal(samples, decode(longer, stream.kind)):
        raise ValueError("a scan ends early")
    return samples


def encode_lossless(samples: NDArray[np.generic], kind: Kind, bits: int) -> bytes:
    """One codestream that holds exactly these samples.

    Args:
        samples: (rows, columns) or (rows, columns, components), whole numbers of at most 16 bits.
        kind: ``JPEG`` (process 14, one component), ``JPEG_LS`` or ``J2K``.
        bits: precision; a JPEG-LS stream takes that of the samples' type instead (8 or 16).

    Raises:
        one of ``ERRORS``: the samples do not fit.
    """
    if kind is Kind.JPEG_LS:
        return bytes(imagecodecs.jpegls_encode(samples))
    if kind is Kind.JPEG:
        return bytes(imagecodecs.jpeg8_encode(samples, lossless=True, predictor=1, bitspersample=bits))
    return bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="J2K", reversible=True, bitspersample=bits))


def _components(data: bytes) -> int:
    """Components that a JPEG's frame header names; 0 without one (ISO 10918-1 B.2.2)."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return data[at + 9]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0


# ---- pydicom's way to a decoder


def register() -> None:
    """Make this module pydicom's one decoder of these Transfer Syntaxes; for worker processes, which nobody else shares."""
    for syntax in _KINDS:
        decoder = get_decoder(syntax)
        if decoder.available_plugins == (PLUGIN,):
            continue
        for name in decoder.available_plugins:
            decoder.remove_plugin(name)
        decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


def is_available(uid: UID) -> bool:
    """Whether frames of this Transfer Syntax are decoded here; pydicom asks it of a plug-in's module."""
    return uid in _KINDS


def decode_frame(data: bytes, runner: DecodeRunner) -> bytes:
    """One frame for pydicom, which converts colours and signs by the data set's own description."""
    samples: NDArray[Any] = decode(data, _KINDS[UID(runner.transfer_syntax)])
    runner.set_option("bits_allocated", 8 * samples.dtype.itemsize)
    if samples.ndim == 3:
        runner.set_option("planar_configuration", 0)
    if runner.photometric_interpretation in {"YBR_ICT", "YBR_RCT"}:
        runner.set_option("photometric_interpretation", "RGB")  # OpenJPEG undoes the transform
    return samples.tobytes()
