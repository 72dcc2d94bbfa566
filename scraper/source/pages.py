"""Read a file of any kind as upright pages of grey pixels, within bounded memory.

Sizes are read from the header and checked before a pixel is decoded.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scraper.core.errors import UnreadableFile
from scraper.source.picture_kind import ANIMATIONS, SNIFFED, Kind, kind_of, kind_of_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_PIXELS = 120_000_000  # an A3 page at 600 dpi is 70 million; 120 million grey pixels are 120 MB
MAX_JPEG_PIXELS = 260_000_000  # a phone's 200 megapixels; of more than MAX_PIXELS every other row and column is decoded
MAX_FRAMES = 4  # of an animation that are searched at length: a screen recording repeats itself
MAX_GLANCED_FRAMES = 64  # that have a first look
_WHITE_INK, _INK = 200, 128  # grey levels: a drawing without darker ink on a transparent page is a white one
_RED_PART = 1e-3
_INKED = 40  # a colour at least this far from grey, of 255, is worth a look of its own


Link = tuple[str, tuple[tuple[int, int], ...]]
"""An address and the corners of its place on the page, in pixels; none where it has no place."""


class TooManyPixels(UnreadableFile):
    """The header announces more pixels than we decode. Values: ``path``, ``megapixels``, ``limit``."""


@dataclass(frozen=True, slots=True)
class Page:
    """One upright page (EXIF orientation applied).

    ``grey`` is (rows, columns), 0 black. ``red`` is the same of the red channel alone, where the page has colour: a red
    seal over a code vanishes in it. ``scale`` is this page's resolution relative to that of its polygons.
    ``links`` are the addresses of a document's links on the page, each with its place.
    """

    number: int
    grey: NDArray[np.uint8]
    red: NDArray[np.uint8] | None = None
    scale: float = 1.0
    links: tuple[Link, ...] = ()


def pages(path: Path, *, colour: bool = False, password: str = "") -> Iterator[Page]:
    """Yield the file's pages one at a time.

    Args:
        path: the file; its name does not matter.
        colour: also set ``Page.red`` where the page has colour.
        password: opens a PDF that has one.

    Yields:
        Upright pages; of an animation the first ``MAX_FRAMES`` frames. PDF pages come twice, the second time
        finer (``scale`` 2).

    Raises:
        NoSuchFile: there is no such file.
        UnreadableFile: an unknown kind of image, or its data do not decode (UnknownFormat: a known kind that
            is not read; LockedFile: a PDF whose password is not ``password``).
        TooManyPixels: its header announces more than ``MAX_PIXELS``.
    """
    from scraper.source import documents  # what only a long search needs

    kind = kind_of(path)
    match kind:
        case Kind.OTHER:
            raise UnreadableFile(path=path)
        case Kind.JXL | Kind.SVG:
            from scraper.source import rare_pictures

            yield from rare_pictures.drawn_pages(path, kind, colour=colour)
        case Kind.PDF:
            yield from documents.pdf_pages(path, colour=colour, password=password)
        case Kind.DICOM:
            yield from documents.dicom_pages(path, colour=colour)
        case Kind.OFFICE:
            yield from documents.office_pages(path, colour=colour)
        case _:
            yield from _image_pages(path, kind, colour=colour)


def greys(path: Path) -> Iterator[tuple[int, memoryview, float]]:
    """Yield only the grey pixels of a simple kind of file, (rows, columns), by page number, with ``Page.scale``; no NumPy.

    Of an animation the first ``MAX_GLANCED_FRAMES`` frames, each that differs from the one before it.

    Raises:
        NoSuchFile, UnreadableFile, TooManyPixels: as ``pages``.
    """
    before = b""
    for number, frame, scale in _frames(path, kind_of(path), colour=False, most=MAX_GLANCED_FRAMES):
        upright = _upright(frame)
        grey = upright if upright.mode == "L" else upright.convert("L")
        columns, rows = grey.size
        pixels = grey.tobytes()
        if pixels != before:
            yield number, memoryview(pixels).cast("B", (rows, columns)), scale
        before = pixels


def frames_left_out(path: Path) -> int:
    """Number of frames of an animation that were not searched; 0 for everything else.

    Raises:
        NoSuchFile, UnreadableFile: as ``pages``.
    """
    kind = kind_of(path)
    if kind not in ANIMATIONS:
        return 0
    with closing(_open(path, kind)) as image:
        most = MAX_GLANCED_FRAMES if kind.is_simple else MAX_FRAMES
        return max(0, getattr(image, "n_frames", 1) - most)


def images_of(path: Path, content: bytes) -> Iterator[Image.Image]:
    """The first frame of a picture inside a file, complete or truncated.

    Raises:
        UnreadableFile, TooManyPixels: as ``pages``.
    """
    kind = kind_of_bytes(content[:SNIFFED])
    if kind.is_simple or kind is Kind.TIFF:
        for _, frame, _ in _frames(path, kind, colour=True, most=1, content=content):
            yield frame


def page_count(path: Path, password: str = "") -> int:
    """Number of pages of a PDF or a TIFF, each of which may show a code; an animation has one.

    Raises:
        NoSuchFile, UnreadableFile: as ``pages``.
    """
    kind = kind_of(path)
    if kind is Kind.TIFF:
        with closing(_open(path, kind)) as image:
            return int(getattr(image, "n_frames", 1))
    if kind is not Kind.PDF:
        return 1
    from scraper.source.documents import pdf_page_count

    return pdf_page_count(path, password)


def _image_pages(path: Path, kind: Kind, *, colour: bool) -> Iterator[Page]:
    for number, frame, scale in _frames(path, kind, colour=colour):
        yield page(number, frame, colour=colour, scale=scale)


def _frames(
    path: Path, kind: Kind, *, colour: bool, most: int = MAX_FRAMES, content: bytes = b""
) -> Iterator[tuple[int, Image.Image, float]]:
    with closing(_open(path, kind, content)) as image:
        frames = getattr(image, "n_frames", 1) if kind is not Kind.JPEG else 1
        limit = frames if kind is Kind.TIFF else most
        scale = _halved(path, image) if kind is Kind.JPEG else 1.0
        for index in range(min(frames, limit)):
            try:
                if index:
                    image.seek(index)
                check_size(path, image.size)
                frame = _decoded(path, image, kind, colour=colour, content=content)
            except (OSError, EOFError, ValueError, SyntaxError, MemoryError, struct.error) as err:
                if index:
                    return  # what came before is whole
                raise UnreadableFile(path=path) from err
            yield index + 1, frame, scale


def _halved(path: Path, image: Image.Image) -> float:
    """The scale at which a JPEG of more than ``MAX_PIXELS`` is decoded, set on it; 1 for all others."""
    width, height = image.size
    if not MAX_PIXELS < width * height <= MAX_JPEG_PIXELS:
        return 1.0
    image.draft(None, (width // 2, height // 2))
    check_size(path, image.size)
    return image.size[0] / width


def _open(path: Path, kind: Kind, content: bytes = b"") -> Image.Image:
    from PIL import Image

    if kind is Kind.HEIF:
        import pi_heif

        pi_heif.register_heif_opener(thumbnails=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is judged here, with a sentence
            file = io.BytesIO(content or path.read_bytes())
            image = _jpeg(file) if kind is Kind.JPEG else Image.open(file, formats=[kind.value])
    except Image.DecompressionBombError as err:
        raise TooManyPixels(path=path, megapixels=">178", limit=MAX_PIXELS // 1_000_000) from err
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, MemoryError) as err:
        raise UnreadableFile(path=path) from err
    return image


def _jpeg(file: io.BytesIO) -> Image.Image:
    """``Image.open`` without the four further formats that it always loads."""
    from PIL.JpegImagePlugin import JpegImageFile

    return JpegImageFile(file)


def check_size(path: Path, size: tuple[int, int]) -> None:
    """Reject an image that can't be decoded within bounds, before decoding.

    Raises:
        TooManyPixels: more than ``MAX_PIXELS``. UnreadableFile: no pixels.
    """
    pixels = size[0] * size[1]
    if pixels > MAX_PIXELS:
        raise TooManyPixels(path=path, megapixels=pixels // 1_000_000, limit=MAX_PIXELS // 1_000_000)
    if not pixels:
        raise UnreadableFile(path=path)


def _decoded(path: Path, image: Image.Image, kind: Kind, *, colour: bool, content: bytes = b"") -> Image.Image:
    """The frame's pixels; of a truncated JPEG or PNG, those that arrived."""
    if kind is Kind.JPEG and not colour:
        image.draft("L", image.size)  # luma only: a third of the memory and most of the time saved
    try:
        image.load()
    except OSError:
        if kind not in {Kind.JPEG, Kind.PNG}:
            raise
        image = _open(path, kind, content)
        if kind is Kind.JPEG:
            _halved(path, image)
        _load_what_is_there(image)
    return image


def _load_what_is_there(image: Image.Image) -> None:
    from PIL import ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = True  # Pillow knows this only as a global
    try:
        image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def page(number: int, image: Image.Image, *, colour: bool, scale: float = 1.0, links: tuple[Link, ...] = ()) -> Page:
    """Make one page of its picture."""
    import numpy as np

    upright = _upright(image)
    grey = np.asarray(upright if upright.mode == "L" else upright.convert("L"))
    red = None
    if colour and upright.mode in {"RGB", "P", "CMYK", "YCbCr"}:
        channel = np.asarray(upright.convert("RGB").getchannel("R"))
        red = channel if _has_red(channel, grey) else None
    return Page(number, grey, red, scale, links)


def _upright(image: Image.Image) -> Image.Image:
    """Rotate by the EXIF orientation, put on white where transparent, and convert to 8 bits per sample."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in {"I", "F", "I;16", "I;16B", "I;16L"}:
        return _stretched(upright)
    if upright.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "black" if _is_drawn_in_white(layer) else "white")
        upright = Image.alpha_composite(paper, layer).convert("RGB")
    return upright


def _is_drawn_in_white(layer: Image.Image) -> bool:
    """Whether nearly everything drawn on a transparent page is light, so that it would vanish on white."""
    drawn = layer.getchannel("A").point(lambda alpha: 255 if alpha > _INK else 0)
    counts = layer.convert("L").histogram(drawn)
    return sum(counts[_WHITE_INK:]) > 0.98 * max(sum(counts), 1)


def _has_red(red: NDArray[np.uint8], grey: NDArray[np.uint8]) -> bool:
    """Whether red differs clearly from grey in at least ``_RED_PART`` of the pixels, of every fourth row and column."""
    import numpy as np

    lifted = red[::4, ::4].astype(np.int16) - grey[::4, ::4] > _INKED
    return bool(lifted.mean() > _RED_PART) if lifted.size else False


def _stretched(image: Image.Image) -> Image.Image:
    """Scale samples of more than 8 bits to 0…255; not-a-number is black."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8))
