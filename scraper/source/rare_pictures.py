"""Pages of JPEG XL files and, with the extra ``pictures``, of SVG: drawn behind the fences of a child process alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scraper.core.errors import UnknownFormat, UnreadableFile
from scraper.isolation import fence
from scraper.source import pages
from scraper.source.pages import Page
from scraper.source.picture_kind import Kind

SVG_WIDTH = 1600  # pixels that a drawing is made wide: it has no size of its own
MOST_SVG = 8 * 2**20  # bytes of its text


def drawn_pages(path: Path, kind: Kind, *, colour: bool) -> Iterator[Page]:
    """The one page of such a file.

    Raises:
        UnknownFormat: what draws it is not installed, or this process has no fence.
        UnreadableFile, TooManyPixels: it makes no picture.
    """
    if not fence.is_up():
        raise UnknownFormat(path=path, kind=kind.value)
    try:
        yield from _svg(path, colour=colour) if kind is Kind.SVG else _jxl(path)
    except ImportError as err:
        raise UnknownFormat(path=path, kind=kind.value) from err
    except (ValueError, RuntimeError, MemoryError, OSError) as err:
        raise UnreadableFile(path=path) from err


def _svg(path: Path, *, colour: bool) -> Iterator[Page]:
    import resvg_py

    if path.stat().st_size > MOST_SVG:
        raise UnreadableFile(f"> {MOST_SVG >> 20} MB", path=path)
    # no fonts: a code is made of shapes, and searching the system's fonts takes seconds
    drawn = resvg_py.svg_to_bytes(
        svg_string=path.read_text(encoding="utf-8-sig"), width=SVG_WIDTH, background="#ffffff", skip_system_fonts=True
    )
    for image in pages.images_of(path, bytes(drawn)):
        yield pages.page(1, image, colour=colour)


def _jxl(path: Path) -> Iterator[Page]:
    import imagecodecs
    import numpy as np

    samples = np.asarray(imagecodecs.jpegxl_decode(path.read_bytes()))
    while samples.ndim > 3:  # the first frame of several
        samples = samples[0]
    pages.check_size(path, (samples.shape[1], samples.shape[0]))
    if samples.dtype != np.uint8:
        most = float(samples.max()) or 1.0
        samples = (samples * (255.0 / (most if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max))).astype(
            np.uint8
        )
    if samples.ndim == 3 and samples.shape[2] >= 3:
        samples = (samples[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    yield Page(1, np.ascontiguousarray(samples if samples.ndim == 2 else samples[..., 0]))
