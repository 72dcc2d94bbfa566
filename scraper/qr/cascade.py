"""The search in one page: many looks at the same pixels, cheap ones first.

Every step is one look and gives what it saw; who asks decides after each whether to go on. What may hold a code is cut out
and enlarged first, because a look at a patch costs a tenth of one at the page; then come contrast and what is bent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from scraper.qr.bent import NEGATIVE, PATCH, WHOLE, straightened
from scraper.qr.engines import Found, Polygon, Seen, Wechat, zbar, zxing
from scraper.qr.regions import regions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scraper.picture import Page

WHOLE_PIXELS = 16_000_000  # larger pages are halved for looks at the whole, and looked at in tiles in full
SMALL_PIXELS = 4_000_000  # what the dear looks at the whole are given
PATCH_EDGE = 1000  # pixels
MOST_TIMES = 3.0
TILE = 1024  # edge of a tile, pixels
LIGHT = 121  # pixels of a patch within which light is taken for even
FLOOR = 8  # grey levels that are noise

Step = Callable[[], Seen]
Look = Callable[["NDArray[np.uint8]"], Seen]


class Views:
    """One page's pixels in the forms that the steps want, each made once."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @cached_property
    def whole(self) -> tuple[NDArray[np.uint8], float]:
        """Grey and its scale over the page's pixels; at most ``WHOLE_PIXELS``."""
        return _at_most(self.page.grey, WHOLE_PIXELS, self.page.scale)

    @cached_property
    def small(self) -> tuple[NDArray[np.uint8], float]:
        """Grey and its scale; at most ``SMALL_PIXELS``."""
        return _at_most(*_swap(self.whole, SMALL_PIXELS))

    @cached_property
    def patches(self) -> list[tuple[NDArray[np.uint8], int, int, float]]:
        """Parts of the page in full that may hold a code, about ``PATCH_EDGE`` large: pixels, left, top, times larger."""
        out = []
        for left, top, right, bottom in regions(self.page.grey):
            patch, times = _about(self.page.grey[top:bottom, left:right])
            out.append((patch, left, top, times))
        return out


def _about(patch: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The patch at a size at which engines read well, and how many times larger that is."""
    import cv2

    times = min(PATCH_EDGE / max(patch.shape), MOST_TIMES)
    if 0.8 < times <= 1.0:
        return patch, 1.0
    way = cv2.INTER_AREA if times < 1 else cv2.INTER_CUBIC
    return cv2.resize(patch, None, fx=times, fy=times, interpolation=way), times  # type: ignore[return-value]


def _swap(view: tuple[NDArray[np.uint8], float], pixels: int) -> tuple[NDArray[np.uint8], int, float]:
    return view[0], pixels, view[1]


def _at_most(grey: NDArray[np.uint8], pixels: int, scale: float) -> tuple[NDArray[np.uint8], float]:
    factor = 1
    while grey.size / factor**2 > pixels:
        factor += 1
    if factor == 1:
        return grey, scale
    return shrunk(grey, factor), scale / factor


def shrunk(grey: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Each pixel the mean of ``factor`` × ``factor``; a rest at the right and lower edge is dropped."""
    import cv2

    rows, columns = grey.shape[0] // factor, grey.shape[1] // factor
    whole = grey[: rows * factor, : columns * factor]
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def evened(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Contrast made even in 8 × 8 places, limited so that noise stays noise."""
    import cv2

    return cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(grey)  # type: ignore[return-value]


def lit_evenly(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each pixel over the light around it, the full range in use: what beats, stamps and shadows leave is the code."""
    import cv2
    import numpy as np

    near = (LIGHT, LIGHT)
    values = grey.astype(np.float32) + FLOOR
    ratio = np.log(values / cv2.blur(cv2.blur(values, near), near))
    low, high = np.percentile(ratio[::2, ::2], (1, 99))
    stretched = (ratio - low) * (255 / max(float(high - low), 1e-6))
    return np.clip(stretched, 0, 255).astype(np.uint8)  # type: ignore[no-any-return]


def steps(page: Page, wechat: Wechat) -> Iterator[Step]:
    """All looks after the first, which is zxing-cpp's at the grey pixels as they are.

    They come by what they find for what they cost; a page without a code costs all of them.
    """
    views = Views(page)
    grey, scale = views.whole
    if grey is not page.grey:
        yield lambda: zxing(grey, scale=scale)
    yield lambda: _each(views, zxing)
    yield lambda: _each(views, lambda patch: zxing(lit_evenly(patch)))
    yield lambda: _each(views, lambda patch: zxing(evened(patch)))
    stamped = None if page.red is None else Views(replace(page, grey=page.red))
    if stamped is not None:
        yield lambda: zxing(stamped.whole[0], scale=stamped.whole[1])
    yield lambda: zxing(grey, histogram=True, scale=scale)
    yield lambda: zxing(shrunk(grey, 2), scale=scale / 2)
    small, scale_of_small = views.small
    yield lambda: zxing(_sharpened(small), scale=scale_of_small)
    yield lambda: _doubled(views)
    yield lambda: zxing(evened(small), scale=scale_of_small)
    if wechat.is_there:
        yield from _patch_by_patch(views, wechat.read)
        yield lambda: wechat.read(small, scale=scale_of_small)
    yield from _patch_by_patch(views, lambda patch: straightened(patch, PATCH))
    yield lambda: straightened(small, WHOLE, scale=scale_of_small)
    if stamped is not None:
        yield from _patch_by_patch(stamped, lambda patch: straightened(patch, PATCH))
    yield lambda: zbar(_threshold(small), scale=scale_of_small)
    yield from _patch_by_patch(views, lambda patch: straightened(inverted(patch), NEGATIVE))
    yield lambda: zxing(small, every=True, scale=scale_of_small)
    yield from _tiles(page)


def inverted(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Dark for light."""
    return 255 - grey


def _each(views: Views, look: Look) -> Seen:
    """One look at each patch that may hold a code."""
    seen = [step() for step in _patch_by_patch(views, look)]
    return Seen(
        tuple(found for one in seen for found in one.found),
        tuple(suspect for one in seen for suspect in one.suspects),
    )


def _patch_by_patch(views: Views, look: Look) -> Iterator[Step]:
    """The same as a step for each patch, where the look is a dear one."""
    for patch, left, top, times in views.patches:
        yield lambda patch=patch, at=(left, top), times=times: _moved(
            look(patch), at, times, views.page.scale
        )  # type: ignore[misc]


def _threshold(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return cv2.adaptiveThreshold(  # type: ignore[return-value]
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 101, 5
    )


def _doubled(views: Views) -> Seen:
    import cv2

    grey, scale = views.small
    return zxing(cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), scale=scale * 2)  # type: ignore[arg-type]


def _sharpened(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    soft = cv2.GaussianBlur(grey, (0, 0), 2.0)
    return cv2.addWeighted(grey, 2.5, soft, -1.5, 0)  # type: ignore[return-value]


def _tiles(page: Page) -> Iterator[Step]:
    """Overlapping tiles of the page in full, each with its own contrast; none where one tile would be the page."""
    rows, columns = page.grey.shape
    if max(rows, columns) <= TILE:
        return
    step = TILE * 3 // 4
    for top in range(0, max(rows - TILE // 4, 1), step):
        for left in range(0, max(columns - TILE // 4, 1), step):
            tile = page.grey[top : top + TILE, left : left + TILE]
            yield lambda tile=tile, at=(left, top): _moved(zxing(evened(tile)), at, 1.0, page.scale)  # type: ignore[misc]


def _moved(seen: Seen, corner: tuple[int, int], times: float, scale: float) -> Seen:
    """What was seen in a part of the page that was made ``times`` as large, on the page."""

    def move(polygon: Polygon) -> Polygon:
        return tuple(
            (round((x / times + corner[0]) / scale), round((y / times + corner[1]) / scale))
            for x, y in polygon
        )

    return Seen(
        tuple(Found(one.text, one.symbology, move(one.polygon)) for one in seen.found),
        tuple(move(polygon) for polygon in seen.suspects),
    )
