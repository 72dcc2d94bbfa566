"""Describe pixels in the data set that they are put into: shape, bits, colours, and lossiness.

Sources: PS3.3 C.7.6.1.1.2 (Image Type), C.7.6.1.1.5 (Lossy Image Compression), C.7.6.3 (Image Pixel), PS3.5 8.2 (codestreams).
"""

from __future__ import annotations

import hashlib
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from scraper.core.model import Problem, Tags
from scraper.core.sniff import Kind
from scraper.dicom import codestream, structure, values
from scraper.dicom.elements import integer, plain
from scraper.dicom.pixels import Frame, Shape

_LOSSY_METHOD: Final = {
    Kind.JPEG: "ISO_10918_1",
    Kind.JPEG_LS: "ISO_14495_1",
    Kind.J2K: "ISO_15444_1",
    Kind.JP2: "ISO_15444_1",
}
_LOSSLESS_SYNTAXES: Final = frozenset(
    {
        *structure.NATIVE,
        codestream.RLE_LOSSLESS,
        codestream.JPEG_LOSSLESS,
        codestream.JPEG_LOSSLESS_SV1,
        codestream.JPEG_LS,
        codestream.J2K_LOSSLESS,
        codestream.HTJ2K_LOSSLESS,
        codestream.HTJ2K_LOSSLESS_RPCL,
    }
)


def _photometric(declared: str, stream: codestream.Codestream | None, samples: int) -> str:
    """Photometric Interpretation of the stored pixels (PS3.5 8.2.4, A.4.4; PS3.3 C.7.6.3.1.2)."""
    if samples == 1:
        return declared if declared in {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"} else "MONOCHROME2"
    if stream is None:
        return declared if declared in {"RGB", "YBR_FULL"} else "RGB"
    if stream.colour:
        return stream.colour
    if declared in {"RGB", "YBR_FULL"}:
        return declared
    return "YBR_FULL" if stream.kind is Kind.JPEG and not stream.is_lossless else "RGB"


def pixel_module(ds: Dataset, tags: Tags, shape: Shape, frame: Frame) -> None:
    """Image Pixel module from the stream itself; Pixel Representation from the tags, which alone have it."""
    stream = frame.stream
    samples = stream.components if stream else shape.samples or 1
    # a stream may need fewer bits than the image has (JPEG-LS encoders count), and may be written with more
    bits = max(shape.stored or 0, stream.bits if stream and stream.kind is not Kind.PNG else 0)
    bits = bits or shape.allocated or (stream.bits if stream else 8)
    if stream:
        ds.Rows, ds.Columns = stream.rows, stream.columns
        allocated = 8 if bits <= 8 else 16 if bits <= 16 else 32
        if shape.allocated in {8, 16, 32} and stream.kind is not Kind.PNG:
            allocated = max(allocated, shape.allocated)
        elif stream.kind is Kind.PNG:
            allocated = stream.bits
    else:
        ds.Rows, ds.Columns = shape.rows, shape.columns
        allocated = shape.allocated or 8
    ds.SamplesPerPixel = samples
    ds.BitsAllocated, ds.BitsStored = allocated, min(bits, allocated)
    ds.HighBit = ds.BitsStored - 1
    declared_sign = values.lookup(tags, "PixelRepresentation")
    declared_sign = declared_sign[0] if isinstance(declared_sign, list) and declared_sign else declared_sign
    if str(declared_sign).strip() in {"0", "1"}:
        ds.PixelRepresentation = int(str(declared_sign))
    else:
        ds.PixelRepresentation = int(stream.is_signed) if stream else 0
    ds.PhotometricInterpretation = _photometric(plain(ds, "PhotometricInterpretation").upper(), stream, samples)
    if samples == 1:
        if "PlanarConfiguration" in ds:
            del ds.PlanarConfiguration
    elif stream is not None or integer(ds, "PlanarConfiguration") not in {0, 1}:
        ds.PlanarConfiguration = 0


def declared_syntax(tags: Tags) -> str:
    """The Transfer Syntax that the site names for the image; empty where it names none."""
    for keyword in ("TransferSyntaxUID", "AvailableTransferSyntaxUID"):
        declared = values.lookup(tags, keyword)
        text = str(declared[0] if isinstance(declared, list) and declared else declared or "").strip("\0 ")
        if text.startswith("1.2.840.10008.1.2"):
            return text
    return ""


def _is_claimed_lossy(tags: Tags, ds: Dataset) -> bool:
    """Whether the site itself calls the stored image lossy."""
    declared = declared_syntax(tags)
    if declared and declared not in _LOSSLESS_SYNTAXES and declared != codestream.J2K:
        return True
    return plain(ds, "LossyImageCompression") == "01"


def loss(ds: Dataset, tags: Tags, frames: list[Frame]) -> Problem | None:
    """Declare lossy pixels as lossy; where the site claims otherwise, make a derived instance with its own UID."""
    lossy = [frame.stream for frame in frames if frame.stream is not None and not frame.stream.is_lossless]
    if not lossy:
        return None
    claimed = _is_claimed_lossy(tags, ds)
    was_declared = plain(ds, "LossyImageCompression") == "01"
    ds.LossyImageCompression = "01"
    if not was_declared:
        native = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsStored / 8 * len(frames)
        ds.LossyImageCompressionRatio = f"{native / max(1, sum(len(frame.data) for frame in frames)):.2f}"
        is_high_throughput = lossy[0].transfer_syntax_uid == codestream.HTJ2K
        ds.LossyImageCompressionMethod = "ISO_15444_15" if is_high_throughput else _LOSSY_METHOD[lossy[0].kind]
    if claimed:
        return None
    declared = ds.get("ImageType", None) or ["DERIVED", "SECONDARY"]
    image_type = [declared] if isinstance(declared, str) else [str(part) for part in declared]
    ds.ImageType = ["DERIVED", *image_type[1:]]
    original = plain(ds, "SOPInstanceUID")
    if original:
        if "SOPClassUID" in ds:
            source = Dataset()
            source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = ds.SOPClassUID, original
            ds.SourceImageSequence = Sequence([source])
        digest = hashlib.sha256(original.encode() + b"".join(frame.data for frame in frames)).digest()
        ds.SOPInstanceUID = "2.25." + str(int.from_bytes(digest[:16], "big"))
    return Problem("lossy-not-original", (plain(ds, "SOPInstanceUID") or "?",), {"original": original})
