"""Refine finder patterns on the photo: exact position and rotation, and other patterns like them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scraper.source.qr.repair.finders import Finder
from scraper.source.qr.repair.normalise import PER_MODULE, drawn, normalise, places, ring_pattern

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

A_FINDER = 0.85  # likeness
FINDER_EDGE = 9  # modules: a finder pattern with its light frame
_SEEK = 60  # modules each way in which patterns like one are sought
_COARSE = 3  # samples a module, for that
_ALIKE = 0.5  # likeness
_MOST_ALIKE = 6


def settled(patch: Floats, frame: Floats) -> tuple[Floats, float]:
    """Refine a finder pattern's frame (2, 3: a module right, a module down, the middle) on the photo.

    Also returns its resemblance to a finder pattern, 1 at best.
    """
    import cv2
    import numpy as np

    target = drawn(ring_pattern((1, 1, 0, 1, 0), FINDER_EDGE))
    down, across = np.gradient(target)
    size = len(target)
    u, v = places(size, FINDER_EDGE / 2)
    basis = np.stack([across * u, across * v, across, down * u, down * v, down], -1).reshape(-1, 6)
    normal = basis.T @ basis + np.diag([1.0, 1, 0.1, 1, 1, 0.1]) * size
    best, best_score = frame, -1.0
    for turn in range(9):
        x = frame[0, 0] * u + frame[0, 1] * v + frame[0, 2]
        y = frame[1, 0] * u + frame[1, 1] * v + frame[1, 2]
        seen = cv2.remap(patch, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
        seen = seen - seen.mean()
        score = float((seen * target).sum() / max(np.linalg.norm(seen) * np.linalg.norm(target), 1e-6))
        if score > best_score:
            best, best_score = frame, score
        gain = float((seen * target).sum() / (target * target).sum())
        if gain < 0.05 or turn == 8:
            break
        rest = (target - target.mean() - seen / gain).reshape(-1)
        step = np.linalg.solve(normal, basis.T @ rest) / PER_MODULE
        a, b, c, d, e, f = step
        turned = np.array([[1 + a, b, c], [d, 1 + e, f], [0, 0, 1]])
        frame = (frame @ turned).astype(np.float32)
    return best, best_score


def alike(grey: NDArray[np.uint8], finder: Finder) -> list[Finder]:
    """Find further finder patterns near one, even crossed by a pen or partly hidden by glare."""
    import cv2
    import numpy as np

    reach = (_SEEK + FINDER_EDGE) * finder.run
    box = (finder.x - reach, finder.y - reach, finder.x + reach, finder.y + reach)
    patch = normalise(grey, box, finder.run)
    middle = (finder.x - patch.left) * patch.factor, (finder.y - patch.top) * patch.factor
    module = finder.run * patch.factor * 0.9  # a turned pattern is crossed at a slant
    tries = []
    for degrees in (0.0, 30.0, 60.0):
        cosine, sine = module * np.cos(np.radians(degrees)), module * np.sin(np.radians(degrees))
        start = np.array([[cosine, -sine, middle[0]], [sine, cosine, middle[1]]], np.float32)
        tries.append(settled(patch.pixels, start))
    frame, score = max(tries, key=lambda found: found[1])
    if score < A_FINDER:
        return []
    line = np.arange(-_SEEK * _COARSE, _SEEK * _COARSE + 1, dtype=np.float32) / _COARSE
    u, v = np.meshgrid(line, line)
    x = frame[0, 0] * u + frame[0, 1] * v + frame[0, 2]
    y = frame[1, 0] * u + frame[1, 1] * v + frame[1, 2]
    seen = cv2.remap(patch.pixels, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    pattern = cv2.resize(drawn(ring_pattern((1, 1, 0, 1, 0), FINDER_EDGE)), (FINDER_EDGE * _COARSE,) * 2)
    scores = cv2.matchTemplate(seen, pattern, cv2.TM_CCOEFF_NORMED)
    half = len(pattern) // 2
    found = []
    for _ in range(_MOST_ALIKE):
        _, best, _, (column, row) = cv2.minMaxLoc(scores)
        if best < _ALIKE:
            break
        place = np.array([x[row + half, column + half], y[row + half, column + half]])
        found.append(Finder(*patch.on_page(place), finder.run, 6.0 * best))
        cv2.circle(scores, (column, row), 5 * _COARSE, -1.0, -1)
    return found
