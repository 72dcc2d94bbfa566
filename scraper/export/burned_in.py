"""Images that may show text of their own: how they are recognised, and what is blanked (PS3.15 E.3.1, Clean Pixel Data)."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian

from scraper.core.settings import BurnedIn
from scraper.dicom.elements import plain

_MAY_SHOW_NAMES: Final = frozenset({"US", "SC", "OT", "ES", "XC", "XA", "RF", "GM", "SM", "DOC", "IO", "OP"})


class Treatment(Enum):
    """What becomes of one image."""

    CLEAR = auto()  # it shows no text, by its own word or by its kind
    MAY_SHOW = auto()
    LEFT_OUT = auto()
    BLANKED = auto()


def treatment(ds: FileDataset, wanted: BurnedIn) -> Treatment:
    """What becomes of an image."""
    declared = plain(ds, "BurnedInAnnotation")
    is_capture = "SECONDARY" in plain(ds, "ImageType").upper()
    may_show = declared == "YES" or (declared != "NO" and (plain(ds, "Modality") in _MAY_SHOW_NAMES or is_capture))
    if not may_show or not any(name in ds for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        return Treatment.CLEAR
    match wanted:
        case BurnedIn.KEEP:
            return Treatment.MAY_SHOW
        case BurnedIn.BLANK if _regions(ds):
            return Treatment.BLANKED
        case _:
            return Treatment.LEFT_OUT


def _regions(ds: FileDataset) -> list[tuple[int, int, int, int]]:
    """The regions that an ultrasound image names (PS3.3 C.8.5.5): left, top, right, bottom."""
    found = []
    for item in ds.get("SequenceOfUltrasoundRegions") or ():
        corners = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
        if all(name in item for name in corners):
            left, top, right, bottom = (int(item[name].value) for name in corners)
            if 0 <= left < right <= int(ds.Columns) and 0 <= top < bottom <= int(ds.Rows):
                found.append((left, top, right, bottom))
    return found


def blank(ds: FileDataset) -> None:
    """Everything outside the named regions becomes zero; the pixels are uncompressed then.

    Raises:
        PYDICOM_ERRORS, RuntimeError, NotImplementedError: they can't be decoded.
    """
    regions = _regions(ds)
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        ds.decompress(generate_instance_uid=False)
    pixels = ds.pixel_array
    rows, columns = int(ds.Rows), int(ds.Columns)
    shown = np.zeros((rows, columns), bool)
    for left, top, right, bottom in regions:
        shown[top:bottom, left:right] = True
    frames = int(ds.get("NumberOfFrames") or 1)
    samples = int(ds.SamplesPerPixel)
    shaped = pixels.reshape((frames, rows, columns, samples))
    cleaned = np.where(shown[None, :, :, None], shaped, np.zeros((), shaped.dtype))
    if samples > 1 and int(ds.get("PlanarConfiguration") or 0):
        ds.PlanarConfiguration = 0
    data = cleaned.astype(shaped.dtype).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if int(ds.BitsAllocated) > 8 else "OB"
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
