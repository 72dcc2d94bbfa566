"""A file of any kind → pages of grey pixels, upright, within bounded memory.

What a file is, its first bytes say, never its name. Sizes are read from the header and judged before a pixel is
decoded.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.errors import NoSuchFile, UnreadableFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_PIXELS = 120_000_000  # an A3 page at 600 dpi is 70 million; 120 million grey pixels are 120 MB
MAX_BYTES = 256 * 2**20  # no photo or scan within the pixel limit needs more
MAX_PDF_PAGE_PIXELS = 24_000_000
MAX_FRAMES = 4  # of an animation: a screen recording repeats itself
PDF_DPI = (250, 500)  # what most pages need, then what a small code in a scan needs
_SNIFFED = 32
_RED_PART = 1e-3
_INKED = 40  # a colour at least this far from grey, of 255, is worth a look of its own


class TooManyPixels(UnreadableFile):
    """A header announces more pixels than are decoded. Values: ``path``, ``megapixels``, ``limit``."""


class PdfLocked(UnreadableFile):
    """A PDF that opens with a password only. Values: ``path``."""


class Kind(StrEnum):
    """What a file is, by its first bytes; the value is Pillow's name for it."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    BMP = "BMP"
    GIF = "GIF"
    TIFF = "TIFF"
    HEIF = "HEIF"
    AVIF = "AVIF"
    PDF = "PDF"
    OTHER = ""

    @property
    def is_simple(self) -> bool:
        """Decoded in one straight pass whose cost the header's size bounds, so it may be read in this very process."""
        return self in {Kind.JPEG, Kind.PNG, Kind.BMP, Kind.GIF, Kind.WEBP}


@dataclass(frozen=True, slots=True)
class Page:
    """One page, upright (EXIF orientation applied).

    ``grey`` is (rows, columns), 0 black. ``red`` is the same of the red channel alone, where the page has colour: a red
    seal over a code vanishes in it. ``scale`` is pixels here over pixels of the page as its polygons are given in.
    """

    number: int
    grey: NDArray[np.uint8]
    red: NDArray[np.uint8] | None = None
    scale: float = 1.0


def kind_of(path: Path) -> Kind:
    """What the file is, by its magic bytes.

    Raises:
        NoSuchFile: there is no such file.
        UnreadableFile: a folder, no permission, or larger than ``MAX_BYTES``.
    """
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise UnreadableFile(f"> {MAX_BYTES >> 20} MB", path=path)
        with path.open("rb") as file:
            head = file.read(_SNIFFED)
    except FileNotFoundError as err:
        raise NoSuchFile(path=path) from err
    except (OSError, ValueError) as err:
        raise UnreadableFile(path=path) from err
    return _sniff(head)


def _sniff(head: bytes) -> Kind:
    starts = {
        b"\xff\xd8\xff": Kind.JPEG,
        b"\x89PNG\r\n\x1a\n": Kind.PNG,
        b"BM": Kind.BMP,
        b"GIF8": Kind.GIF,
        b"II*\0": Kind.TIFF,
        b"MM\0*": Kind.TIFF,
        b"II+\0": Kind.TIFF,
        b"MM\0+": Kind.TIFF,
    }
    for start, kind in starts.items():
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.WEBP
    if head[4:8] == b"ftyp":
        return Kind.AVIF if head[8:12] in {b"avif", b"avis"} else Kind.HEIF
    return Kind.PDF if b"%PDF-" in head else Kind.OTHER


def pages(path: Path, *, colour: bool = False) -> Iterator[Page]:
    """The file's pages, one at a time.

    Args:
        path: the file; its name says nothing about its kind.
        colour: also give ``Page.red`` where the page has colour.

    Yields:
        Upright pages; of an animation the first ``MAX_FRAMES`` frames. The pages of a PDF come twice, the second time
        finer (``scale`` 2).

    Raises:
        NoSuchFile: there is no such file.
        UnreadableFile: it is no image that is known here, or its data make no picture.
        TooManyPixels: its header announces more than ``MAX_PIXELS``.
    """
    kind = kind_of(path)
    if kind is Kind.OTHER:
        raise UnreadableFile(path=path)
    yield from (
        _pdf_pages(path, colour=colour) if kind is Kind.PDF else _image_pages(path, kind, colour=colour)
    )


def greys(path: Path) -> Iterator[tuple[int, memoryview]]:
    """Of a simple kind of file the same pages' grey pixels alone, (rows, columns), by page number; needs no NumPy.

    Raises:
        NoSuchFile, UnreadableFile, TooManyPixels: as ``pages``.
    """
    for number, frame in _frames(path, kind_of(path), colour=False):
        upright = _upright(frame)
        grey = upright if upright.mode == "L" else upright.convert("L")
        columns, rows = grey.size
        yield number, memoryview(grey.tobytes()).cast("B", (rows, columns))


def frames_left_out(path: Path) -> int:
    """How many frames of an animation ``pages`` does not give; 0 for everything else.

    Raises:
        NoSuchFile, UnreadableFile: as ``pages``.
    """
    kind = kind_of(path)
    if kind not in {Kind.GIF, Kind.WEBP, Kind.PNG, Kind.AVIF, Kind.HEIF}:
        return 0
    with closing(_open(path, kind)) as image:
        return max(0, getattr(image, "n_frames", 1) - MAX_FRAMES)


def page_count(path: Path) -> int:
    """How many pages a file has that each may show a code of its own: of a PDF or a TIFF; an animation is one.

    Raises:
        NoSuchFile, UnreadableFile: as ``pages``.
    """
    kind = kind_of(path)
    if kind is Kind.TIFF:
        with closing(_open(path, kind)) as image:
            return int(getattr(image, "n_frames", 1))
    if kind is not Kind.PDF:
        return 1
    with closing(_pdf(path)) as document:
        return len(document)


def _image_pages(path: Path, kind: Kind, *, colour: bool) -> Iterator[Page]:
    for number, frame in _frames(path, kind, colour=colour):
        yield _page(number, frame, colour=colour)


def _frames(path: Path, kind: Kind, *, colour: bool) -> Iterator[tuple[int, Image.Image]]:
    with closing(_open(path, kind)) as image:
        frames = getattr(image, "n_frames", 1) if kind is not Kind.JPEG else 1
        limit = frames if kind is Kind.TIFF else MAX_FRAMES
        for index in range(min(frames, limit)):
            try:
                if index:
                    image.seek(index)
                _check_size(path, image.size)
                frame = _decoded(path, image, kind, colour=colour)
            except (OSError, EOFError, ValueError, SyntaxError, MemoryError, struct.error) as err:
                if index:
                    return  # what came before is whole
                raise UnreadableFile(path=path) from err
            yield index + 1, frame


def _open(path: Path, kind: Kind) -> Image.Image:
    from PIL import Image

    if kind is Kind.HEIF:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", Image.DecompressionBombWarning
            )  # the limit is judged here, with a sentence
            file = io.BytesIO(path.read_bytes())
            image = _jpeg(file) if kind is Kind.JPEG else Image.open(file, formats=[kind.value])
    except Image.DecompressionBombError as err:
        raise TooManyPixels(path=path, megapixels=">178", limit=MAX_PIXELS // 1_000_000) from err
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, MemoryError) as err:
        raise UnreadableFile(path=path) from err
    return image


def _jpeg(file: io.BytesIO) -> Image.Image:
    """What ``Image.open`` gives, without the four other kinds of file that it loads along."""
    from PIL.JpegImagePlugin import JpegImageFile

    return JpegImageFile(file)


def _check_size(path: Path, size: tuple[int, int]) -> None:
    pixels = size[0] * size[1]
    if pixels > MAX_PIXELS:
        raise TooManyPixels(path=path, megapixels=pixels // 1_000_000, limit=MAX_PIXELS // 1_000_000)
    if not pixels:
        raise UnreadableFile(path=path)


def _decoded(path: Path, image: Image.Image, kind: Kind, *, colour: bool) -> Image.Image:
    """The frame with its pixels; of a JPEG or PNG that breaks off, what arrived."""
    if kind is Kind.JPEG and not colour:
        image.draft("L", image.size)  # luma only: a third of the memory and most of the time saved
    try:
        image.load()
    except OSError:
        if kind not in {Kind.JPEG, Kind.PNG}:
            raise
        image = _open(path, kind)
        _load_what_is_there(image)
    return image


def _load_what_is_there(image: Image.Image) -> None:
    from PIL import ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = True  # Pillow knows this only as a global
    try:
        image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _page(number: int, image: Image.Image, *, colour: bool, scale: float = 1.0) -> Page:
    import numpy as np

    upright = _upright(image)
    grey = np.asarray(upright if upright.mode == "L" else upright.convert("L"))
    red = None
    if colour and upright.mode in {"RGB", "P", "CMYK", "YCbCr"}:
        channel = np.asarray(upright.convert("RGB").getchannel("R"))
        red = channel if _has_red(channel, grey) else None
    return Page(number, grey, red, scale)


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says, on white where it lets light through, of 8 bits a sample."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in {"I", "F", "I;16", "I;16B", "I;16L"}:
        return _stretched(upright)
    if upright.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        upright = Image.alpha_composite(paper, layer).convert("RGB")
    return upright


def _has_red(red: NDArray[np.uint8], grey: NDArray[np.uint8]) -> bool:
    """Whether red lifts at least ``_RED_PART`` of the pixels clear of the grey; every fourth row and column counts."""
    import numpy as np

    lifted = red[::4, ::4].astype(np.int16) - grey[::4, ::4] > _INKED
    return bool(lifted.mean() > _RED_PART) if lifted.size else False


def _stretched(image: Image.Image) -> Image.Image:
    """Samples of more than 8 bits, their range laid over 0…255; not-a-number is black."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8))


def _pdf_pages(path: Path, *, colour: bool) -> Iterator[Page]:
    import pypdfium2

    with closing(_pdf(path)) as document:
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
                yield _page(index + 1, image, colour=colour, scale=scale)
        if not len(document):
            raise UnreadableFile(path=path)


def _pdf(path: Path) -> Any:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(path.read_bytes())
    except (pypdfium2.PdfiumError, OSError) as err:
        if "password" in str(err).lower():
            raise PdfLocked(path=path) from err
        raise UnreadableFile(path=path) from err


def _has_lost_its_picture(page: Any, image: Image.Image) -> bool:
    """Whether a page is empty to the eye although a picture stands on it: PDFium leaves out what it can't decode."""
    import pypdfium2.raw

    low, high = image.convert("L").getextrema()
    return low == high and any(page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))


def _rendered(page: Any, dpi: int) -> tuple[Image.Image, float]:
    """The page's picture, and its scale over the one at the first of ``PDF_DPI``."""
    width, height = page.get_size()
    area = max(width * height, 1e-3)

    def zoom_at(wanted: int) -> float:
        zoom: float = min(
            wanted / 72, (MAX_PDF_PAGE_PIXELS / area) ** 0.5, MAX_PDF_PAGE_PIXELS / max(width, height, 1)
        )
        return zoom

    zoom = zoom_at(dpi)
    picture: Image.Image = page.render(scale=zoom, fill_color=(255, 255, 255, 255)).to_pil()
    return picture, zoom / zoom_at(PDF_DPI[0])
