"""The initial estimate of a code's grid: its finder patterns, then the alignment patterns near where these predict them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scraper.source.qr.repair import symbol
from scraper.source.qr.repair.normalise import PER_MODULE, drawn, ring_pattern

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


PLACES_OF_ONE = 9  # that are known of a finder pattern


def versions(frames: list[Floats]) -> list[int]:
    """The code sizes that the finder patterns' scale and distance suggest, the likeliest first."""
    import numpy as np

    estimates = []
    for other, axis in ((1, 0), (2, 1)):
        leg = frames[other][:, 2] - frames[0][:, 2]
        unit = leg / max(float(np.linalg.norm(leg)), 1e-6)
        sizes = [abs(float(frames[k][:, axis] @ unit)) for k in (0, other)]
        estimates.append(float(np.linalg.norm(leg)) / max(sum(sizes) / 2, 1e-3))
    middle = (sum(estimates) / 2 + 7 - 17) / 4
    near = sorted(symbol.VERSIONS, key=lambda version: abs(version - middle))
    reach = max(1.3, 0.12 * middle)
    return [version for version in near[:4] if abs(version - middle) <= reach]


def known_places(frames: list[Floats], version: int) -> tuple[Floats, Floats]:
    """Corresponding places in modules and in pixels: each finder pattern's middle, edges and corners."""
    import numpy as np

    far = symbol.size_of(version) - 3.5
    modules, pixels = [], []
    for frame, middle in zip(frames, ((3.5, 3.5), (far, 3.5), (3.5, far)), strict=True):
        for u in (-3.5, 0.0, 3.5):
            for v in (-3.5, 0.0, 3.5):
                modules.append((middle[0] + u, middle[1] + v))
                pixels.append(frame @ np.array([u, v, 1.0]))
    return np.array(modules, np.float32), np.array(pixels, np.float32)


class Flat:
    """A perspective plane, bent by the residuals (a thin plate through the known places)."""

    def __init__(self, modules: Floats, pixels: Floats, stiff: float) -> None:
        import cv2
        import numpy as np

        self.lens, _ = cv2.findHomography(modules, pixels, 0)
        if self.lens is None:
            self.lens = np.eye(3)
        self.modules = modules
        self.scale = float(np.abs(modules).max())
        rest = pixels - self._seen(modules)
        kernel = self._kernel(modules) + stiff * np.eye(len(modules))
        frame = np.column_stack([np.ones(len(modules)), modules / self.scale])
        whole = np.block([[kernel, frame], [frame.T, np.zeros((3, 3))]])
        self.factors = np.linalg.lstsq(whole, np.vstack([rest, np.zeros((3, 2))]), rcond=None)[0]

    def _seen(self, modules: Floats) -> Floats:
        import cv2
        import numpy as np

        out = cv2.perspectiveTransform(modules.reshape(1, -1, 2).astype(np.float64), self.lens)
        return out.reshape(-1, 2).astype(np.float32)

    def _kernel(self, places: Floats) -> NDArray[np.float64]:
        import numpy as np

        apart = (((places[:, None] - self.modules[None]) / self.scale) ** 2).sum(-1)
        out: NDArray[np.float64] = 0.5 * apart * np.log(np.maximum(apart, 1e-12))
        return out

    def __call__(self, places: Floats) -> Floats:
        """Map places in modules, (n, 2), to pixels."""
        import numpy as np

        frame = np.column_stack([np.ones(len(places)), places / self.scale])
        bend = self._kernel(places) @ self.factors[:-3] + frame @ self.factors[-3:]
        out: Floats = (self._seen(places) + bend).astype(np.float32)
        return out


def anchors_of(patch: Floats, frames: list[Floats], version: int) -> Iterator[list[tuple[Floats, Floats]]]:
    """Sets of alignment patterns as (place in modules, place in pixels); the far corner's may be in several places."""
    import numpy as np

    modules, pixels = known_places(frames, version)
    middles = sorted(symbol.alignment(version), key=lambda item: -(item[0] + item[1]))
    if not middles:
        yield []
        return
    reach = 2.0 + 0.09 * symbol.size_of(version)
    first = np.array([middles[0][1] + 0.5, middles[0][0] + 0.5], np.float32)
    options = _alignment(patch, Flat(*known_places(frames, version), 1e-2), first, reach)
    for score, seen in options[:2]:
        anchors = [(first, seen)]
        for row, column in middles[1:]:
            place = np.array([column + 0.5, row + 0.5], np.float32)
            estimate = Flat(
                np.vstack([modules, *([anchor[0]] * 3 for anchor in anchors)]),
                np.vstack([pixels, *([anchor[1]] * 3 for anchor in anchors)]),
                1e-3,
            )
            found = _alignment(patch, estimate, place, 2.0)
            if found and found[0][0] > 0.6:
                anchors.append((place, found[0][1]))
        yield anchors
        if score > 0.8:
            return
    if not options or options[0][0] < 0.7:
        yield []


def _alignment(patch: Floats, estimate: Flat, place: Floats, reach: float) -> list[tuple[float, Floats]]:
    """Candidates for an alignment pattern near ``place``: agreement and pixels, best first."""
    import cv2
    import numpy as np

    target = drawn(ring_pattern((1, 0, 1), 5))
    edge = int((2 * reach + 5) * PER_MODULE) | 1
    line = ((np.arange(edge) - edge // 2) / PER_MODULE).astype(np.float32)
    u, v = np.meshgrid(line + place[0], line + place[1])
    pixels = estimate(np.column_stack([u.ravel(), v.ravel()])).reshape(edge, edge, 2)
    seen = cv2.remap(patch, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR)
    scores = cv2.matchTemplate(seen, target, cv2.TM_CCOEFF_NORMED)
    half = len(target) // 2
    found = []
    for _ in range(3):
        _, best, _, (x, y) = cv2.minMaxLoc(scores)
        if best < 0.45:
            break
        found.append((float(best), pixels[y + half, x + half]))
        cv2.circle(scores, (x, y), 2 * PER_MODULE, -1.0, -1)
    return found
