"""Remove blur between a code's modules, estimated from its fixed patterns.

A linear filter is fitted that turns what was seen into what is known to be there, and, with less weight, into what the
other modules most likely are; then it is applied to all. So nothing need be known of the lens, the hand or the screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scraper.source.qr.repair import symbol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scraper.source.qr.repair.refine import Grid

    Floats = NDArray[np.float32]

_REACH = 8  # samples each way that the fine filter sees, every second one
_FINE_TURNS, _FINE_RIDGE = 3, 5.0


def unblurred(grid: Grid) -> Floats:
    """Deblur by a filter over 3 × 3 modules: quick, and enough for a blur of half a module."""
    import numpy as np

    size = len(grid.darkness)
    around = np.pad(grid.darkness, 1, mode="edge")
    near = [around[r : r + size, c : c + size] for r in range(3) for c in range(3)]
    return _filtered(grid.darkness, np.stack(near, -1).reshape(size * size, -1), 2, 1.0, grid.hidden)


def finely_unblurred(grid: Grid) -> Floats:
    """Deblur by a filter over the samples in and around a module: for motion blur and moiré."""
    import cv2
    import numpy as np

    size, margin = len(grid.darkness), _REACH + 1
    soft: Floats = np.pad(cv2.blur(grid.samples, (3, 3)), margin, mode="edge")
    per_module = len(grid.samples) // (size + 2 * grid.margin)
    middles: NDArray[np.intp] = (np.arange(size) + grid.margin) * per_module + per_module // 2 + margin
    steps = range(-_REACH, _REACH + 1, 2)
    near = [soft[np.ix_(middles + down, middles + right)] for down in steps for right in steps]
    samples: Floats = np.stack(near, -1).reshape(size * size, -1)
    return _filtered(grid.darkness, samples, _FINE_TURNS, _FINE_RIDGE, grid.hidden)


def _filtered(darkness: Floats, near: Floats, turns: int, ridge: float, hidden: int | None) -> Floats:
    """Fit and apply the filter ``turns`` times; ``near`` is (modules, filter input of each)."""
    import numpy as np

    size = len(darkness)
    known = symbol.fixed((size - 17) // 4)
    if hidden is not None:
        known = known.copy()
        known[symbol.corner_region(size, hidden)] = -1
    frame = np.column_stack([near, np.ones(len(near), np.float32)])
    damping = np.diag([ridge] * near.shape[1] + [0.1])
    out = darkness
    for _ in range(turns):
        wanted = np.where(known >= 0, known * 2.0 - 1, np.sign(out)).ravel()
        weight = np.where(known >= 0, 1.0, 0.5 * np.clip(np.abs(out), 0, 1)).ravel()
        weighted = (frame * weight[:, None]).T
        factors = np.linalg.solve(weighted @ frame + damping, weighted @ wanted)
        out = (frame @ factors).reshape(size, size).astype(np.float32)
    return out
