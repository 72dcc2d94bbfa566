"""Combine tags and pixels that a site serves separately: pixels untouched, tags as given, nothing invented.

Sources: PS3.5 A.4 and 8.2 (codestreams), PS3.3 C.7.6.1.1.2 (Image Type), C.7.6.1.1.5 (lossy), C.7.6.3 (Image Pixel),
C.12.1.1.2 (character set), PS3.5 7.8 (private elements), PS3.10 7.1 (file meta).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from scraper.core.errors import CorruptInstance
from scraper.core.model import PixelParts, Problem, Tags, TagValue
from scraper.core.reasons import Reason
from scraper.core.sniff import VRS, Kind
from scraper.dicom import charset, codestream, pixel_module, pixels, structure, values
from scraper.dicom.elements import PYDICOM_ERRORS, plain, quiet
from scraper.dicom.part10 import file_meta
from scraper.dicom.pixels import Frame, Shape

_DEEPEST: Final = 32
_IDENTITY: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A Part 10 file, and problems that a person should know of."""

    data: bytes
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Notes:
    """Collects what could not be taken over, by tag."""

    unusable: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    mojibake: list[str] = field(default_factory=list)


def _count(tags: Tags, keyword: str) -> int | None:
    value = values.lookup(tags, keyword)
    single = value[0] if isinstance(value, list) and value else value
    try:
        number = int(float(str(single)))
    except (ValueError, OverflowError):
        return None
    return number if 0 < number < 1 << 31 else None


def _shape(tags: Tags) -> Shape:
    return Shape(
        _count(tags, "Rows"),
        _count(tags, "Columns"),
        _count(tags, "SamplesPerPixel"),
        _count(tags, "BitsAllocated"),
        _count(tags, "BitsStored"),
    )


def check_frame(tags: Tags, frame: bytes) -> None:
    """Check whether a frame can match the tags, without decoding, so that a fetcher may retry.

    Raises:
        CorruptInstance: an error page, a truncated, reduced or constant picture (source: protocol page hinacom-levels, 2026).
    """
    pixels.look(_shape(values.by_tag(tags)), frame)


def _creators(tags: Mapping[int, TagValue]) -> dict[int, str]:
    """(group << 8 | block) → private creator."""
    found = {}
    for tag, value in tags.items():
        if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            inner = values.bare(value)
            text = inner[0] if isinstance(inner, list) and inner else inner
            if text:
                found[tag >> 16 << 8 | tag & 0xFF] = str(text).strip()
    return found


def _element(tag: int, value: TagValue, creator: str, notes: _Notes, depth: int, *, signed: bool) -> DataElement:
    """Make one element.

    Raises:
        Unusable: the value does not fit its VR.
    """
    is_creator = tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF
    vr = "LO" if is_creator else values.vr_of(tag, creator, signed=signed)
    if isinstance(value, Mapping):
        vr = str(value.get("vr") or vr)
        if len(vr) != 2 or vr.encode() not in VRS:
            raise values.Unusable
        if "InlineBinary" in value:
            return DataElement(tag, vr, values.inline(value["InlineBinary"]))
        if "BulkDataURI" in value:
            raise values.Unusable
        inside = value.get("Value", [])
        if not isinstance(inside, list):
            raise values.Unusable
        value = inside
    if vr == "SQ":
        if value in (None, "", []):
            return DataElement(tag, vr, Sequence())
        if not isinstance(value, list) or depth >= _DEEPEST or not all(isinstance(item, Mapping) for item in value):
            raise values.Unusable
        return DataElement(tag, vr, Sequence([_fill(item, notes, depth + 1, signed=signed) for item in value]))
    read = values.read(value, vr)
    if vr in values.TEXT_VRS and any(
        charset.is_mojibake(str(entry)) for entry in (read if isinstance(read, list) else [read])
    ):
        notes.mojibake.append(f"{tag:08X}")
    return DataElement(tag, vr, read)


def _fill(tags: Mapping[str, Any], notes: _Notes, depth: int, *, signed: bool) -> Dataset:
    """The data set that the tags describe, without group 2, group lengths and pixels."""
    by_tag: dict[int, TagValue] = {}
    for name, value in tags.items():
        tag = values.tag_of(name)
        if tag is None:
            notes.unusable.append(name[:64])
        elif tag >> 16 > 0x0007 and tag & 0xFFFF and tag >> 16 != 0x7FE0:
            by_tag[tag] = value
    creators = _creators(by_tag)
    ds = Dataset()
    for tag in sorted(by_tag):
        creator = ""
        if tag >> 16 & 1 and tag & 0xFFFF >= 0x100:
            creator = creators.get(tag >> 16 << 8 | tag >> 8 & 0xFF, "")
            if not creator:
                notes.orphans.append(f"{tag:08X}")
                continue
        try:
            ds.add(_element(tag, by_tag[tag], creator, notes, depth, signed=signed))
        except (values.Unusable, *PYDICOM_ERRORS):
            notes.unusable.append(f"{tag:08X}")
    return ds


def _texts(ds: Dataset) -> list[str]:
    found: list[str] = []
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                found += _texts(item)
        elif element.VR in values.TEXT_VRS:
            several = element.value if element.VM > 1 else [element.value]
            found += [str(entry) for entry in several if entry is not None]
    return found


def _set_charset(ds: Dataset) -> None:
    declared = ds.get("SpecificCharacterSet", "") or ""
    listed = [declared] if isinstance(declared, str) else [str(item) for item in declared]
    chosen = charset.fitting(_texts(ds), listed)
    if chosen:
        ds.SpecificCharacterSet = chosen
    elif "SpecificCharacterSet" in ds:
        del ds.SpecificCharacterSet
    _drop_inner_charsets(ds, top=True)


def _drop_inner_charsets(ds: Dataset, *, top: bool) -> None:
    """Remove character sets from items: all text is written in the outer one."""
    if not top and "SpecificCharacterSet" in ds:
        del ds.SpecificCharacterSet
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                _drop_inner_charsets(item, top=False)


def _frames(shape: Shape, parts: PixelParts, count: int, *, may_be_blank: bool) -> list[Frame]:
    """The inspected frames. One payload may hold all raw frames at once."""
    if not parts.frames:
        raise CorruptInstance(what=Reason.TAGS_WITHOUT_PIXELS)
    if len(parts.frames) == 1 and count > 1:
        return [pixels.look(shape, parts.frames[0], count, may_be_blank=may_be_blank)]
    if len(parts.frames) != count:
        raise CorruptInstance(what=Reason.OTHER_FRAME_COUNT.of(found=len(parts.frames), tags=count))
    return [pixels.look(shape, frame, may_be_blank=may_be_blank) for frame in parts.frames]


def _pixel_data(ds: Dataset, frames: list[Frame], transfer_syntax: str) -> DataElement:
    if transfer_syntax == structure.EXPLICIT_LITTLE:
        samples = b"".join(pixels.png_samples(frame) if frame.stream else frame.data for frame in frames)
        vr = "OW" if ds.BitsAllocated > 8 else "OB"
        return DataElement(structure.PIXEL_DATA, vr, samples + b"\0" * (len(samples) % 2))
    element = DataElement(structure.PIXEL_DATA, "OB", encapsulate([frame.data for frame in frames], has_bot=True))
    element.is_undefined_length = True
    return element


def _problems(ds: Dataset, notes: _Notes, frames: list[Frame]) -> list[Problem]:
    name = (plain(ds, "SOPInstanceUID") or "?",)
    found: list[Problem] = []
    missing = [keyword for keyword in _IDENTITY if not plain(ds, keyword)]
    if missing:
        found.append(Problem("missing-identity", name, {"what": ", ".join(missing)}))
    if notes.unusable:
        found.append(Problem("tags-unusable", name, {"what": ", ".join(notes.unusable[:20])}, fatal=False))
    if notes.orphans:
        found.append(Problem("private-left-out", name, {"what": ", ".join(notes.orphans[:20])}, fatal=False))
    if notes.mojibake:
        found.append(Problem("text-garbled", name, {"what": ", ".join(notes.mojibake[:20])}, fatal=False))
    if any(frame.was_padded for frame in frames):
        found.append(Problem("padding-cut", name, fatal=False))
    if plain(ds, "Modality") in {"CT", "PT"} and ("RescaleSlope" not in ds or "RescaleIntercept" not in ds):
        found.append(Problem("rescale-unknown", name, fatal=False))
    stream = frames[0].stream
    if stream and stream.kind in {Kind.J2K, Kind.JP2} and stream.is_signed != bool(ds.PixelRepresentation):
        found.append(Problem("sign-disagrees", name, fatal=False))
    return found


def _write(ds: Dataset, transfer_syntax: str) -> bytes:
    out = io.BytesIO()
    writer = DicomIO(out)
    writer.is_implicit_VR, writer.is_little_endian = False, True
    with quiet():
        write_dataset(writer, ds)
    meta = file_meta(plain(ds, "SOPClassUID"), plain(ds, "SOPInstanceUID"), transfer_syntax)
    return meta + out.getvalue()


def rebuild(parts: PixelParts, *, may_be_blank: bool = False) -> Rebuilt:
    """Make a Part 10 file of tags and pixels.

    The codestream is stored unchanged, without boxes around it, under the Transfer Syntax of its own header; raw samples
    become Explicit VR Little Endian. Identity and geometry absent from the tags stay absent, with a problem. Lossy pixels
    where the site does not call them lossy make a derived image: a new SOP Instance UID (the same on each run), DERIVED, and
    the original in Source Image Sequence.

    Args:
        parts: as the site gave them.
        may_be_blank: a constant picture is taken for the image.

    Raises:
        CorruptInstance: no pixels, truncated, constant, or in disagreement with Rows, Columns, samples, bits or number of frames.
    """
    tags = values.by_tag(parts.tags)
    shape = _shape(tags)
    count = _count(tags, "NumberOfFrames") or 1
    frames = _frames(shape, parts, count, may_be_blank=may_be_blank)
    transfer_syntax = pixels.syntax(frames)
    if transfer_syntax == codestream.J2K_LOSSLESS and pixel_module.declared_syntax(tags) == codestream.J2K:
        # a reversible stream may have been cut to a rate: the weaker claim stands
        transfer_syntax = codestream.J2K
    sign = values.lookup(tags, "PixelRepresentation")
    notes = _Notes()
    ds = _fill(tags, notes, 0, signed=str(sign[0] if isinstance(sign, list) and sign else sign).strip() == "1")
    pixel_module.pixel_module(ds, tags, shape, frames[0])
    loss = pixel_module.loss(ds, tags, frames)
    _set_charset(ds)
    problems = _problems(ds, notes, frames)
    if loss is not None:
        problems.append(loss)
    try:
        ds.add(_pixel_data(ds, frames, transfer_syntax))
        data = _write(ds, transfer_syntax)
    except (struct.error, *PYDICOM_ERRORS) as err:
        raise CorruptInstance(what=Reason.TAGS_NOT_WRITABLE) from err
    return Rebuilt(data, tuple(problems))
