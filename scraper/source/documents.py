"""Pages of documents: PDF, DICOM images, and office documents with pictures and links."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree

from scraper.core.errors import CloudfilmError, LockedFile, UnreadableFile
from scraper.source import pages
from scraper.source.pages import Page, TooManyPixels

if TYPE_CHECKING:
    from PIL import Image

    from scraper.source.pages import Link

MAX_PDF_PAGE_PIXELS = 24_000_000
PDF_DPI = (250, 500)  # what most pages need, then what a small code in a scan needs
MAX_MEMBER = 64 * 2**20  # bytes of one picture in a document
MAX_MEMBERS = 60
MAX_LINKS = 200
_WRONG_PASSWORD = 4  # FPDF_ERR_PASSWORD of PDFium's fpdfview.h
_PICTURES = re.compile(r"\A(?:word|ppt|xl|Pictures|media)/(?:[^/]*+/)*+[^/]+\.(?:png|jpe?g|gif|bmp|tiff?|webp)", re.I)
_RELATIONS = re.compile(r"\A.*/_rels/[^/]+\.rels")
_TEXTS = re.compile(r"word/document\.xml|content\.xml|ppt/slides/slide\d+\.xml")
_ADDRESS = re.compile(r"https?://[!#-;=?-~]+", re.I)


def pdf_pages(path: Path, *, colour: bool, password: str = "") -> Iterator[Page]:
    """Yield the pages of a PDF twice, the second time in finer resolution (``scale`` 2), with the addresses of its links.

    Raises:
        LockedFile: its password is missing or wrong. UnreadableFile: no page of it can be drawn.
    """
    data = path.read_bytes()
    data = data[max(data.find(b"%PDF-"), 0) :]
    yield from _drawn_pdf(path, data, colour=colour, password=password)


def pdf_page_count(path: Path, password: str = "") -> int:
    """Number of pages of a PDF; 1 where it does not open."""
    import pypdfium2

    data = path.read_bytes()
    try:
        with closing(pypdfium2.PdfDocument(data[max(data.find(b"%PDF-"), 0) :], password=password or None)) as document:
            return max(len(document), 1)
    except pypdfium2.PdfiumError:
        return 1


def _drawn_pdf(path: Path, data: bytes, *, colour: bool, password: str) -> Iterator[Page]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data, password=password or None)
    except pypdfium2.PdfiumError as err:
        if getattr(err, "err_code", None) == _WRONG_PASSWORD or "password" in str(err).lower():
            raise LockedFile(path=path) from err
        yield from _pictures_in(path, data, colour=colour)
        return
    with closing(document):
        if not len(document):
            yield from _pictures_in(path, data, colour=colour)
            return
        for dpi in PDF_DPI:
            for index in range(len(document)):
                try:
                    page = document[index]
                    image, scale = _rendered(page, dpi)
                    if _has_lost_its_picture(page, image):
                        raise ValueError("a picture that can't be decoded")
                except (pypdfium2.PdfiumError, MemoryError, ValueError) as err:
                    if len(document) == 1:
                        raise UnreadableFile(path=path) from err
                    continue  # one broken page does not hide the others
                links = _pdf_links(document, page) if dpi == PDF_DPI[0] else ()
                yield pages.page(index + 1, image, colour=colour, scale=scale, links=links)


def _has_lost_its_picture(page: Any, image: Image.Image) -> bool:
    """Whether a page looks empty although it holds a picture: PDFium leaves out what it can't decode."""
    import pypdfium2.raw

    low, high = image.convert("L").getextrema()
    return low == high and any(page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))


def _rendered(page: Any, dpi: int) -> tuple[Image.Image, float]:
    """Render a page; returns the picture, and its scale relative to the first of ``PDF_DPI``."""
    zoom = _zoom(page, dpi)
    drawn: Image.Image = page.render(scale=zoom, fill_color=(255, 255, 255, 255)).to_pil()
    return drawn, zoom / _zoom(page, PDF_DPI[0])


def _zoom(page: Any, dpi: int) -> float:
    width, height = page.get_size()
    area = max(width * height, 1e-3)
    return min(  # type: ignore[no-any-return]
        dpi / 72, (MAX_PDF_PAGE_PIXELS / area) ** 0.5, MAX_PDF_PAGE_PIXELS / max(width, height, 1)
    )


def _pdf_links(document: Any, page: Any) -> tuple[Link, ...]:
    """The addresses of the page's links, with their places in pixels at the first of ``PDF_DPI``."""
    import ctypes

    import pypdfium2.raw as pdfium

    zoom, height = _zoom(page, PDF_DPI[0]), page.get_height()
    found: list[Link] = []
    found += _printed_links(page, zoom)
    position, link = ctypes.c_int(0), pdfium.FPDF_LINK()
    while len(found) < MAX_LINKS and pdfium.FPDFLink_Enumerate(page.raw, position, link):
        action = pdfium.FPDFLink_GetAction(link)
        length = pdfium.FPDFAction_GetURIPath(document.raw, action, None, 0) if action else 0
        if not 1 < length <= 1 << 14:
            continue
        buffer = ctypes.create_string_buffer(length)
        pdfium.FPDFAction_GetURIPath(document.raw, action, buffer, length)
        address = buffer.raw[: length - 1].decode("utf-8", errors="replace")
        if not _ADDRESS.match(address):
            continue
        box = pdfium.FS_RECTF()
        pdfium.FPDFLink_GetAnnotRect(link, box)
        left, right = (round(value * zoom) for value in (box.left, box.right))
        top, bottom = (round((height - value) * zoom) for value in (box.top, box.bottom))
        found.append((address, ((left, top), (right, top), (right, bottom), (left, bottom))))
    return tuple(found)


def _printed_links(page: Any, zoom: float) -> list[Link]:
    """The addresses printed on the page as text."""
    with closing(page.get_textpage()) as text:
        words = text.get_text_range(0, min(text.count_chars(), 100_000)) if text.count_chars() else ""
        out: list[Link] = []
        for match in list(_ADDRESS.finditer(words))[:MAX_LINKS]:
            left, bottom, right, top = text.get_charbox(match.start())
            height = page.get_height()
            x, y = round(left * zoom), round((height - top) * zoom)
            below, after = round((height - bottom) * zoom), round(right * zoom)
            out.append((match.group().rstrip(".,;)"), ((x, y), (after, y), (after, below), (x, below))))
        return out


def _pictures_in(path: Path, data: bytes, *, colour: bool) -> Iterator[Page]:
    """The JPEG pictures in a truncated or broken PDF: scans consist of nothing else.

    Raises:
        UnreadableFile: it holds none.
    """
    number = 0
    for match in re.finditer(rb"stream\r?\n(?=\xff\xd8\xff)", data):
        end = data.find(b"endstream", match.end())
        part = data[match.end() : end if end >= 0 else len(data)]
        with suppress(UnreadableFile, TooManyPixels):
            for image in pages.images_of(path, part):
                number += 1
                yield pages.page(number, image, colour=colour)
        if number >= MAX_MEMBERS:
            return
    if not number:
        raise UnreadableFile(path=path)


def dicom_pages(path: Path, *, colour: bool) -> Iterator[Page]:
    """The frames of a DICOM image, or the pages of a PDF in a DICOM file: reports and screenshots are stored like that.

    Raises:
        UnreadableFile: it holds no picture. TooManyPixels: a frame is larger than is decoded.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        data_set = pydicom.dcmread(path)
        document = bytes(data_set.get("EncapsulatedDocument", b""))
    except (InvalidDicomError, OSError, ValueError, TypeError, AttributeError, EOFError) as err:
        raise UnreadableFile(path=path) from err
    if document.startswith(b"%PDF-"):
        yield from _drawn_pdf(path, document, colour=colour, password="")
        return
    size = int(data_set.get("Rows", 0) or 0), int(data_set.get("Columns", 0) or 0)
    pages.check_size(path, size)
    for number in range(min(int(data_set.get("NumberOfFrames", 1) or 1), pages.MAX_FRAMES)):
        yield pages.page(number + 1, _dicom_frame(path, data_set, number), colour=colour)


def _dicom_frame(path: Path, data_set: Any, number: int) -> Image.Image:
    import numpy as np
    from PIL import Image
    from pydicom.pixels.processing import convert_color_space
    from pydicom.pixels.utils import pixel_array

    try:
        values = pixel_array(data_set, index=number)
        meaning = str(data_set.get("PhotometricInterpretation", ""))
        if values.ndim == 3:
            if meaning.startswith("YBR_FULL") and data_set.file_meta.TransferSyntaxUID.is_encapsulated is False:
                values = convert_color_space(values, meaning, "RGB")
            return Image.fromarray(values.astype(np.uint8))
    except (ValueError, RuntimeError, AttributeError, NotImplementedError, KeyError, TypeError) as err:
        raise UnreadableFile(path=path) from err
    spread = values.astype(np.float32)
    low, high = float(spread.min()), float(spread.max())
    grey = ((spread - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8)
    return Image.fromarray(255 - grey if meaning == "MONOCHROME1" else grey)


def office_pages(path: Path, *, colour: bool) -> Iterator[Page]:
    """The pictures of a DOCX, PPTX, XLSX or ODT file, a page each; the first has the document's links.

    Raises:
        UnreadableFile: it is no such file, or there is neither picture nor link in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            links = tuple((address, ()) for address in _office_links(archive))
            number = 0
            for image in _office_images(path, archive):
                number += 1
                yield pages.page(number, image, colour=colour, links=links if number == 1 else ())
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as err:
        raise UnreadableFile(path=path) from err
    if not number and not links:
        raise UnreadableFile(path=path)
    if not number:
        from PIL import Image

        yield pages.page(1, Image.new("L", (8, 8), "white"), colour=False, links=links)


def _members(archive: zipfile.ZipFile, names: re.Pattern[str]) -> Iterator[bytes]:
    """The content of the members so named, none larger than ``MAX_MEMBER``, at most ``MAX_MEMBERS``."""
    wanted = [info for info in archive.infolist() if names.fullmatch(info.filename)]
    for info in wanted[:MAX_MEMBERS]:
        with archive.open(info) as member:
            content = member.read(MAX_MEMBER + 1)
        if len(content) <= MAX_MEMBER:
            yield content


def _office_images(path: Path, archive: zipfile.ZipFile) -> Iterator[Image.Image]:
    for content in _members(archive, _PICTURES):
        with suppress(CloudfilmError):  # one broken picture does not hide the others
            yield from pages.images_of(path, content)


def _office_links(archive: zipfile.ZipFile) -> list[str]:
    found: dict[str, None] = {}
    for content in _members(archive, _RELATIONS):
        if b"<!DOCTYPE" in content:
            continue
        with suppress(ElementTree.ParseError):
            for element in ElementTree.fromstring(content):  # noqa: S314  # no document type, so no entities
                if element.get("TargetMode") == "External" and _ADDRESS.match(element.get("Target", "")):
                    found[str(element.get("Target"))] = None
    for content in _members(archive, _TEXTS):
        if b"<!DOCTYPE" in content:
            continue
        with suppress(ElementTree.ParseError):
            words = "".join(ElementTree.fromstring(content).itertext())  # noqa: S314
            found.update(dict.fromkeys(match.group() for match in _ADDRESS.finditer(words)))
            hrefs = re.findall(rb'xlink:href="(https?://[^"]+)"', content)
            found.update(dict.fromkeys(unquote(href.decode(errors="replace")) for href in hrefs))
    return [address for address in found if "schemas.openxmlformats.org" not in address][:MAX_LINKS]
