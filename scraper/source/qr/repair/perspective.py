"""Undo a steep viewing angle: a code has as many edges one way as the other, so the crowded direction is stretched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scraper.source.qr.engines import EngineResult, FoundCode, Polygon

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST, _MOST = 1.3, 3.5  # times: less is no steep view, more can't be read
_EDGE = 1100  # pixels of the stretched picture, at most
_MIDDLE = 0.18  # of a patch's edge, at each side, that may be paper around the code


def looked_at_stretched(grey: NDArray[np.uint8], look: Callable[[NDArray[np.uint8]], EngineResult]) -> EngineResult:
    """Read the stretched patch, in pixels of the patch; nothing where it is not seen at an angle."""
    import cv2
    import numpy as np

    matrix = _stretching(grey)
    if matrix is None:
        return EngineResult()
    rows, columns = grey.shape
    corners = np.array([[0, columns, columns, 0], [0, 0, rows, rows]], np.float64)
    placed = matrix @ corners
    matrix = matrix * min(1.0, _EDGE / float(np.ptp(placed, axis=1).max()))
    placed = matrix @ corners
    whole = np.column_stack([matrix, -placed.min(axis=1)])
    width, height = (int(value) + 1 for value in np.ptp(placed, axis=1))
    middle = int(np.median(grey))
    stretched = cv2.warpAffine(grey, whole, (width, height), flags=cv2.INTER_CUBIC, borderValue=middle)
    back = np.asarray(cv2.invertAffineTransform(whole), np.float64)
    return _moved_back(look(stretched.astype(np.uint8)), back)


def edge_directions(grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The directions in which brightness changes least and most: mean squares (2,), unit vectors (2, 2) as columns, x first."""
    import cv2
    import numpy as np

    x, y = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    between = float((x * y).mean())
    return np.linalg.eigh(np.array([[float((x * x).mean()), between], [between, float((y * y).mean())]]))


def _stretching(grey: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """The matrix (2, 2) after which there are as many edges one way as across it."""
    import numpy as np

    rows, columns = grey.shape
    top, left = round(_MIDDLE * rows), round(_MIDDLE * columns)
    inner = grey[top : rows - top, left : columns - left]
    if min(inner.shape) < 8:
        return None
    values, vectors = edge_directions(inner)
    times = float(np.sqrt(values[1] / max(values[0], 1e-6)))
    if not _LEAST <= times <= _MOST:
        return None
    out: NDArray[np.float64] = vectors @ np.diag([1.0, times]) @ vectors.T
    return out


def _moved_back(seen: EngineResult, back: NDArray[np.float64]) -> EngineResult:
    def move(polygon: Polygon) -> Polygon:
        return tuple(
            (round(back[0, 0] * x + back[0, 1] * y + back[0, 2]), round(back[1, 0] * x + back[1, 1] * y + back[1, 2]))
            for x, y in polygon
        )

    return EngineResult(
        tuple(FoundCode(found.text, found.symbology, move(found.polygon)) for found in seen.found),
        tuple(move(polygon) for polygon in seen.suspects),
    )
