"""Find regions that may hold a code: patches dark and light everywhere, unlike text and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCKS = 500  # along the page's longer edge
_PART = (0.6, 0.4, 0.25)  # of the liveliest place: what counts as lively, strictly and generously
_NARROWEST = 0.35  # short over long edge
_GENEROUS = 0.1  # of the page: the most that a generously taken place may cover
_TURNED_PIXELS = 4_000_000
_FEWEST = 5  # blocks along an edge
_MARGIN = 0.3  # of the patch: its edges are blurred by the search

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


def regions(grey: NDArray[np.uint8], most: int = 4) -> list[Box]:
    """Up to ``most`` regions, those of highest contrast first."""
    import cv2
    import numpy as np

    rows, columns = grey.shape
    block = max(2, round(max(rows, columns) / _BLOCKS))
    size = (columns // block, rows // block)
    if min(size) < _FEWEST:
        return []
    trimmed = grey[: size[1] * block, : size[0] * block]
    mean = cv2.resize(trimmed, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    squares = cv2.resize(cv2.multiply(trimmed, trimmed, dtype=cv2.CV_32F), size, interpolation=cv2.INTER_AREA)
    near = (5, 5)
    local = cv2.blur(mean, near)
    spread = np.sqrt(np.maximum(cv2.blur(squares, near) - local**2, 0)) / (cv2.blur(mean, (31, 31)) + 20)
    lively = cv2.erode(spread * _manifold(trimmed, size), np.ones((3, 3), np.uint8))
    found: list[tuple[float, Box]] = []
    for part in _PART:
        _, labels, stats, _ = cv2.connectedComponentsWithStats((lively > part * lively.max()).astype(np.uint8))
        for k in range(1, len(stats)):
            left, top, width, height, area = (int(value) for value in stats[k])
            if min(width, height) < max(_FEWEST, _NARROWEST * max(width, height)) or area < 0.35 * width * height:
                continue
            inside = labels[top : top + height, left : left + width] == k
            if part == _PART[-1] and width * height > _GENEROUS * lively.size:
                continue  # in noise all is lively
            worth = float(lively[top : top + height, left : left + width][inside].mean()) * area**0.25
            more = max(4, round(_MARGIN * max(width, height)))
            box = (left - more, top - more, left + width + more, top + height + more)
            found.append((worth, _clipped(box, block, rows, columns)))
    found.sort(reverse=True)
    distinct: list[Box] = []
    for _, box in found:
        if not any(_overlap(box, other) > 0.6 for other in distinct):
            distinct.append(box)
    return distinct[:most]


def _manifold(grey: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """For each block 0 where edges run one way only, as in a bar code, to 1 where they run all ways."""
    import cv2
    import numpy as np

    while grey.size > _TURNED_PIXELS:
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    x, y = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    xx, xy, yy = (
        cv2.blur(cv2.resize(item * other, size, interpolation=cv2.INTER_AREA), (7, 7))
        for item, other in ((x, x), (x, y), (y, y))
    )
    half = (xx + yy) / 2
    least = half - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    out: NDArray[np.float32] = np.sqrt(np.clip(least / (half + 1e-3), 0, 1))
    return out


def _clipped(box: Box, block: int, rows: int, columns: int) -> Box:
    left, top, right, bottom = (value * block for value in box)
    return max(0, left), max(0, top), min(columns, right), min(rows, bottom)


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union of two areas."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / max(areas - both, 1)
