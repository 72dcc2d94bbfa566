"""Move the estimated grid to where a clean drawing of the code and the photo agree (Lucas-Kanade), module by module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scraper.source.qr.repair import symbol
from scraper.source.qr.repair.initial import PLACES_OF_ONE, Flat, known_places
from scraper.source.qr.repair.normalise import PER_MODULE, Patch, drawn, soft_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MARGIN = 2  # modules of quiet zone around it
_SURE = 0.35  # agreement of fixed patterns with the photo below which a grid is not one


@dataclass(frozen=True, slots=True)
class Grid:
    """A code's modules: ``darkness`` (n, n), above zero where dark, about ±1; ``outline`` its corners in pixels.

    ``agreement`` is how well the fixed patterns of every such code are found on it, 1 at best. ``samples`` is the
    straightened picture itself, with ``margin`` modules of quiet zone, from which ``darkness`` was taken. ``hidden`` is
    the covered finder pattern: 0 upper left, 1 upper right, 2 lower left.
    """

    darkness: Floats
    samples: Floats
    agreement: float
    outline: tuple[tuple[float, float], ...]
    margin: int = MARGIN
    hidden: int | None = None


def fitted(
    patch: Patch, frames: list[Floats], version: int, anchors: list[tuple[Floats, Floats]], *, hidden: int | None = None
) -> Grid | None:
    """Fit a code of that size to its finder patterns' frames and the alignment patterns found (modules, pixels).

    The frame of a ``hidden`` finder pattern (0 upper left, 1 upper right, 2 lower left) is only an estimate.

    None where the fixed patterns are not found on it.
    """
    import numpy as np

    size = symbol.size_of(version)
    modules, pixels = known_places(frames, version)
    if hidden is not None and anchors:
        seen_ones = np.arange(len(modules)) // PLACES_OF_ONE != hidden
        modules, pixels = modules[seen_ones], pixels[seen_ones]
    for place, seen in anchors:  # as much as a finder pattern has
        around = np.repeat(place[None], 3, 0)
        modules, pixels = np.vstack([modules, around]), np.vstack([pixels, np.repeat(seen[None], 3, 0)])
    edge = size + 2 * MARGIN
    line = np.arange(edge, dtype=np.float32) + 0.5 - MARGIN
    u, v = np.meshgrid(line, line)
    nodes = Flat(modules, pixels, 1e-3)(np.column_stack([u.ravel(), v.ravel()])).reshape(edge, edge, 2)
    lattice: Floats = _finer(nodes)
    known = np.pad(_known(version, hidden), MARGIN, constant_values=0)
    away = _away(size, [place for place, _ in anchors], hidden)
    growth = [(_GROWING, reach) for reach in np.arange(1.0, float(away.max()) + _FRONT, _FRONT)]
    for turn, (window, reach) in enumerate((*growth, *((window, _EVERYWHERE) for window in _WINDOWS), (0.0, 0.0))):
        photo = _looked_up(patch.pixels, lattice)
        values = _sampled(photo)
        agreement = _agreement(values, known)
        if turn >= len(growth) and agreement < _SURE:
            return None
        if window:
            near = np.clip(reach - away, 0.0, 1.0).astype(np.float32)
            lattice = _moved(lattice, photo, values, known, (window, near))
    low, high = MARGIN * PER_MODULE, (MARGIN + size) * PER_MODULE - 1
    outline = tuple(patch.on_page(lattice[r, c]) for r, c in ((low, low), (low, high), (high, high), (high, low)))
    return Grid(values[MARGIN:-MARGIN, MARGIN:-MARGIN], photo, agreement, outline, hidden=hidden)


def _known(version: int, hidden: int | None) -> NDArray[np.int8]:
    """``matrix.fixed`` without the hidden finder pattern."""
    known = symbol.fixed(version)
    if hidden is not None:
        known = known.copy()
        known[symbol.corner_region(len(known), hidden)] = -1
    return known


def _looked_up(patch: Floats, lattice: Floats) -> Floats:
    """The patch's value at each place of the lattice."""
    import cv2

    return cv2.remap(patch, lattice[..., 0], lattice[..., 1], cv2.INTER_LINEAR)  # type: ignore[return-value]


def _finer(nodes: Floats) -> Floats:
    """Interpolate values of modules to values of samples."""
    import cv2

    edge = len(nodes) * PER_MODULE
    return cv2.resize(nodes, (edge, edge), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _coarser(samples: Floats) -> Floats:
    """Average values of samples over each module."""
    import cv2

    edge = len(samples) // PER_MODULE
    return cv2.resize(samples, (edge, edge), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


_WINDOWS = (3.0, 2.5, 2.0, 1.7)  # modules
_GROWING = 2.5
_FRONT = 1.5  # modules by which the part that is trusted grows at each turn
_EVERYWHERE = 1e3


def _away(size: int, anchors: list[Floats], hidden: int | None) -> Floats:
    """Each module's distance from the nearest known finder or alignment pattern, in modules."""
    import cv2
    import numpy as np

    edge = size + 2 * MARGIN
    free = np.ones((edge, edge), np.uint8)
    finder = slice(MARGIN, MARGIN + 8), slice(edge - MARGIN - 8, edge - MARGIN)
    for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0))):
        if number != hidden:
            free[finder[row], finder[column]] = 0
    for place in anchors:
        column, row = int(place[0]) + MARGIN, int(place[1]) + MARGIN
        free[row - 2 : row + 3, column - 2 : column + 3] = 0
    return cv2.distanceTransform(free, cv2.DIST_L2, 5)  # type: ignore[return-value]


def _sampled(seen: Floats) -> Floats:
    """Each module's value: the mean of its middle."""
    import cv2

    edge = len(seen) // PER_MODULE
    soft = cv2.blur(seen, (3, 3))
    return soft[PER_MODULE // 2 :: PER_MODULE, PER_MODULE // 2 :: PER_MODULE][:edge, :edge]  # type: ignore[return-value]


def _agreement(seen: Floats, known: NDArray[np.int8]) -> float:
    """How far the fixed patterns agree with the photo, without the quiet zone."""
    import numpy as np

    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    is_fixed = known[inner] >= 0
    wanted = known[inner][is_fixed] * 2.0 - 1
    values = np.clip(seen[inner][is_fixed], -1, 1)
    return float((wanted * values).sum() / max(np.abs(values).sum(), 1e-6))


def _moved(
    lattice: Floats, seen: Floats, modules: Floats, known: NDArray[np.int8], part: tuple[float, Floats]
) -> Floats:
    """The lattice after one step towards agreement.

    ``part`` is over how many modules a step is smooth, and how far each module is trusted; an untrusted one moves
    along with the nearest trusted one.
    """
    import cv2
    import numpy as np

    sides = np.where(known >= 0, known * 2.0 - 1, np.tanh(2.5 * modules)).astype(np.float32)
    window, near = part
    trust = np.where(known >= 0, 2.5, 1.0).astype(np.float32) * near
    target = drawn(sides)
    slopes: tuple[Floats, Floats] = np.gradient(target)  # type: ignore[assignment]
    down, across = slopes

    rows, columns = np.indices(target.shape, np.float32)
    products = (target * seen, target * target, seen * seen, across * across, across * down, down * down)
    both, own, other, xx, xy, yy = _spread(products, trust, window)
    gain = np.clip(both / (own + 1e-3), 0.15, 3.0)
    quality = np.clip(both / np.sqrt(own * other + 1e-6), 0.02, 1.0) ** 2 * near
    rest: Floats = target - seen / _finer(gain)
    xr, yr = _spread((across * rest, down * rest), trust, window)
    ridge = 0.05 * (xx + yy) + 1e-3
    xx, yy = xx + ridge, yy + ridge
    determinant = xx * yy - xy * xy
    most = 0.6 * PER_MODULE
    dx = np.clip((yy * xr - xy * yr) / determinant, -most, most) * quality
    dy = np.clip((xx * yr - xy * xr) / determinant, -most, most) * quality
    weight, dx, dy = np.moveaxis(_carried(np.stack([quality, dx, dy], -1), window * 0.7), -1, 0)
    return cv2.remap(  # type: ignore[return-value]
        lattice,
        columns + _finer(dx / (weight + 1e-12)),
        rows + _finer(dy / (weight + 1e-12)),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _spread(samples: tuple[Floats, ...], trust: Floats, window: float) -> Floats:
    """Weighted sums of sample values around each module, one for each of ``samples``."""
    import numpy as np

    modules = np.stack([_coarser(sample) for sample in samples], -1)
    return np.moveaxis(soft_of(modules * trust[..., None], window), -1, 0)


def _carried(values: Floats, sigma: float) -> Floats:
    """Smooth, and extrapolate far into empty areas."""
    out: Floats = soft_of(values, sigma) + 1e-3 * soft_of(values, 4 * sigma) + 1e-6 * soft_of(values, 16 * sigma)
    return out
