"""The search in one page: many readings of the same pixels, cheap ones first.

Every step yields what it found; the caller decides after each whether to go on. Likely regions are cut out
and enlarged first, because reading a patch costs a tenth of reading the page; then come contrast and distortion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from scraper.source.qr.engines import EngineResult, FoundCode, Kinds, Polygon, Wechat, zbar, zxing
from scraper.source.qr.repair.normalise import evened
from scraper.source.qr.repair.perspective import looked_at_stretched
from scraper.source.qr.repair.recover import NEGATIVE, PATCH, WHOLE, FinderSearch, recover_codes
from scraper.source.qr.repair.sharpen import EDGE as SHARP_EDGE
from scraper.source.qr.repair.sharpen import SHAPED_EDGE, WIDTHS, shape_unblurred, sharpened
from scraper.source.qr.suspects import KnownPlaces, places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scraper.source.pages import Page
    from scraper.source.qr.regions import Box

WHOLE_PIXELS = 16_000_000  # larger pages are halved for looks at the whole, and looked at in tiles in full
SMALL_PIXELS = 4_000_000  # as many as thin bars need
EXPENSIVE_PIXELS = 2_000_000  # what the expensive readings of the whole page get
TINY_PIXELS = 400_000  # at which the noise and the smear of a large photo are gone
LIKELIEST = 2  # lively patches: the third and fourth hold a code in one photo of a hundred
LARGE_PIXELS = 800_000  # from which reading the whole page is expensive
EDGE = 0.15  # of a patch, where a code that is not of it may begin
MOST_EXPENSIVE = 3  # patches
FILLED = 0.15  # of a patch, by a code that was read: no other is in it
PATCH_EDGE = 1000  # pixels
MOST_TIMES = 3.0
TILE = 1024  # edge of a tile, pixels
LIGHT = 121  # pixels of a patch within which light is taken for even
FLOOR = 8  # grey levels that are noise

REST = FinderSearch(((25, 0.8),))  # for what no patch holds: hardly ever a code

Step = Callable[[], EngineResult]
Look = Callable[["NDArray[np.uint8]"], EngineResult]


class Views:
    """One page's pixels in the forms that the steps want, each computed once."""

    def __init__(self, page: Page, known: KnownPlaces) -> None:
        self.page = page
        self.known = known
        self.settled: set[int] = set()  # patches whose code was read

    @cached_property
    def whole(self) -> tuple[NDArray[np.uint8], float]:
        """Grey and its scale over the page's pixels; at most ``WHOLE_PIXELS``."""
        return _at_most(self.page.grey, WHOLE_PIXELS, self.page.scale)

    @cached_property
    def small(self) -> tuple[NDArray[np.uint8], float]:
        """Grey and its scale; at most ``SMALL_PIXELS``."""
        return _at_most(*_swap(self.whole, SMALL_PIXELS))

    @cached_property
    def for_expensive(self) -> tuple[NDArray[np.uint8], float]:
        """Grey and its scale; at most ``EXPENSIVE_PIXELS``."""
        return _at_most(*_swap(self.whole, EXPENSIVE_PIXELS))

    @cached_property
    def _places(self) -> tuple[list[Box], int]:
        return places(self.page.grey, self.known, self.page.scale)

    @property
    def likeliest(self) -> int:
        """Number of regions for the expensive decoder: suspected codes first, then high-contrast ones."""
        return min(self._places[1] + LIKELIEST, MOST_EXPENSIVE)

    @cached_property
    def patches(self) -> list[tuple[NDArray[np.uint8], int, int, float]]:
        """Parts of the full page that may hold a code, about ``PATCH_EDGE`` large: pixels, left, top, enlargement."""
        out = []
        for left, top, right, bottom in self._places[0]:
            patch, times = _enlarged_patch(self.page.grey[top:bottom, left:right])
            out.append((patch, left, top, times))
        return out


def _enlarged_patch(patch: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The patch at a size at which engines read well, and its enlargement."""
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
    """Average ``factor`` × ``factor`` pixels into one; a rest at the right and lower edge is dropped."""
    import cv2

    rows, columns = grey.shape[0] // factor, grey.shape[1] // factor
    whole = grey[: rows * factor, : columns * factor]
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def lit_evenly(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Normalise each pixel by the light around it to the full range: moiré, stamps and shadows fade, the code stays."""
    import cv2
    import numpy as np

    near = (LIGHT, LIGHT)
    values = grey.astype(np.float32) + FLOOR
    ratio = np.log(values / cv2.blur(cv2.blur(values, near), near))
    low, high = np.percentile(ratio[::2, ::2], (1, 99))
    stretched = (ratio - low) * (255 / max(float(high - low), 1e-6))
    return np.clip(stretched, 0, 255).astype(np.uint8)  # type: ignore[no-any-return]


def steps(page: Page, wechat: Wechat, known: KnownPlaces) -> Iterator[Step]:
    """Yield the results of all steps after the first, which is zxing-cpp on the grey pixels as they are.

    They are ordered by yield per cost; a page without a code costs all of them.
    """
    views = Views(page, known)
    grey, scale = views.whole
    if grey is not page.grey:
        yield lambda: zxing(grey, scale=scale)
    yield lambda: _each_patch(views, zxing)
    yield lambda: _each_patch(views, lambda patch: zxing(lit_evenly(patch)))
    stamped = None if page.red is None else Views(replace(page, grey=page.red), known)
    if stamped is not None:
        yield lambda: zxing(stamped.whole[0], scale=stamped.whole[1])
    yield lambda: zxing(grey, histogram=True, scale=scale)
    reduced, scale_of_reduced = views.for_expensive
    yield from _whole(views)
    likeliest = views.likeliest
    yield lambda: _each_patch(views, lambda patch: zxing(evened(patch)), likeliest)
    yield from _patch_by_patch(views, _without_blur, None)
    yield from _patch_by_patch(views, lambda patch: recover_codes(patch, PATCH), likeliest)
    yield from _patch_by_patch(views, _steeply, likeliest)
    for width in WIDTHS:
        yield from _patch_by_patch(views, partial(_sharply, width=width), likeliest)
    if wechat.is_there:
        yield from _patch_by_patch(views, wechat.read, LIKELIEST)
    if stamped is not None:
        yield from _patch_by_patch(stamped, lambda patch: recover_codes(patch, PATCH), stamped.likeliest)
    yield lambda: zxing(_doubled(reduced), scale=scale_of_reduced * 2)
    yield lambda: _each_patch(views, lambda patch: zbar(_threshold(patch)), LIKELIEST)
    rest, search = (reduced, WHOLE) if reduced.size < LARGE_PIXELS else (_rest(views), REST)
    yield lambda: recover_codes(rest, search, scale=scale_of_reduced)
    if wechat.is_there and reduced.size < LARGE_PIXELS:  # of more it can take seconds
        yield lambda: wechat.read(reduced, scale=scale_of_reduced)
    yield from _patch_by_patch(views, lambda patch: recover_codes(inverted(patch), NEGATIVE), LIKELIEST)
    small, scale_of_small = views.small
    yield lambda: zxing(small, kinds=Kinds.BARS, scale=scale_of_small)
    yield lambda: zxing(reduced, kinds=Kinds.SQUARES, scale=scale_of_reduced)
    if grey is not page.grey:
        yield from _tiles(page)
    if wechat.is_there:
        yield lambda: wechat.read(evened(reduced), scale=scale_of_reduced)
        yield lambda: wechat.read(inverted(reduced), scale=scale_of_reduced)


def _whole(views: Views) -> Iterator[Step]:
    """Read the whole page with even contrast, by both readers, and at a quarter of its pixels."""
    reduced, scale = views.for_expensive
    yield lambda: zxing(evened(reduced), scale=scale)
    tiny, scale_of_tiny = _at_most(reduced, TINY_PIXELS, scale)
    if tiny is not reduced:
        yield lambda: zxing(tiny, scale=scale_of_tiny)
        yield lambda: zxing(evened(tiny), scale=scale_of_tiny)
    yield lambda: zbar(reduced, scale=scale)
    yield lambda: zbar(_threshold(reduced), scale=scale)


def _steeply(patch: NDArray[np.uint8]) -> EngineResult:
    """Read a patch stretched as if seen from above: as it is, evenly lit, then straightened."""

    def look(stretched: NDArray[np.uint8]) -> EngineResult:
        seen = zxing(stretched)
        seen = seen if seen.found else zxing(lit_evenly(stretched))
        return seen if seen.found else recover_codes(stretched, PATCH)

    return looked_at_stretched(patch, look)


def _sharply(patch: NDArray[np.uint8], width: float) -> EngineResult:
    """Read a patch after removing a blur of that width: as it is, then straightened."""
    import cv2

    times = min(1.0, SHARP_EDGE / max(patch.shape))
    small = cv2.resize(patch, None, fx=times, fy=times, interpolation=cv2.INTER_AREA)
    clear = sharpened(small.astype("uint8"), width)
    seen = zxing(clear)
    return _moved(seen if seen.found else recover_codes(clear, PATCH), (0, 0), times, 1.0)


def _without_blur(patch: NDArray[np.uint8]) -> EngineResult:
    """Read a patch after undoing the camera's motion or defocus."""
    import cv2

    times = min(1.0, SHAPED_EDGE / max(patch.shape))
    small = cv2.resize(patch, None, fx=times, fy=times, interpolation=cv2.INTER_AREA)
    for clear in shape_unblurred(small.astype("uint8")):
        seen = zxing(clear)
        if seen.found:
            return _moved(seen, (0, 0), times, 1.0)
    return EngineResult()


def inverted(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Swap dark and light."""
    return 255 - grey


def _each_patch(views: Views, look: Look, most: int | None = None) -> EngineResult:
    """Read each of the ``most`` likeliest patches once."""
    seen = [step() for step in _patch_by_patch(views, look, most)]
    return EngineResult(
        tuple(found for item in seen for found in item.found),
        tuple(suspect for item in seen for suspect in item.suspects),
    )


def _patch_by_patch(views: Views, look: Look, most: int | None) -> Iterator[Step]:
    """The same with a step for each patch, for an expensive reading; stops where its code was read."""

    def at(number: int) -> EngineResult:
        if number in views.settled:
            return EngineResult()
        patch, left, top, times = views.patches[number]
        seen = look(patch)
        if any(_extent(item.polygon) > FILLED * patch.size for item in seen.found):
            views.settled.add(number)
        return _moved(seen, (left, top), times, views.page.scale)

    for number in range(len(views.patches))[:most]:
        yield partial(at, number)


def _extent(polygon: Polygon) -> int:
    """Area of the bounding box."""
    xs, ys = ([point[axis] for point in polygon] or [0] for axis in (0, 1))
    return (max(xs) - min(xs)) * (max(ys) - min(ys))


def _rest(views: Views) -> NDArray[np.uint8]:
    """A large page without the middles of the likeliest patches, which were read separately."""
    grey, scale = views.for_expensive
    grey = grey.copy()
    for patch, left, top, times in views.patches[: views.likeliest]:
        rows, columns = (round(edge / times) for edge in patch.shape)
        box = (left + columns * EDGE, top + rows * EDGE, left + columns * (1 - EDGE), top + rows * (1 - EDGE))
        x, y, right, bottom = (max(0, round(value / views.page.scale * scale)) for value in box)
        grey[y:bottom, x:right] = int(patch.mean())
    return grey


def _threshold(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return cv2.adaptiveThreshold(  # type: ignore[return-value]
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 101, 5
    )


def _doubled(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _tiles(page: Page) -> Iterator[Step]:
    """Overlapping tiles of the full page, each with its own contrast."""
    rows, columns = page.grey.shape
    step = TILE * 3 // 4
    for top in range(0, max(rows - TILE // 4, 1), step):
        for left in range(0, max(columns - TILE // 4, 1), step):
            tile = page.grey[top : top + TILE, left : left + TILE]
            yield lambda tile=tile, at=(left, top): _moved(zxing(evened(tile)), at, 1.0, page.scale)  # type: ignore[misc]


def _moved(seen: EngineResult, corner: tuple[int, int], times: float, scale: float) -> EngineResult:
    """Transform results from a part of the page that was enlarged ``times`` to the page."""

    def move(polygon: Polygon) -> Polygon:
        return tuple(
            (round((x / times + corner[0]) / scale), round((y / times + corner[1]) / scale)) for x, y in polygon
        )

    return EngineResult(
        tuple(FoundCode(item.text, item.symbology, move(item.polygon)) for item in seen.found),
        tuple(move(polygon) for polygon in seen.suspects),
    )
