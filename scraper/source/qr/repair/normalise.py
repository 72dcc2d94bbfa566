"""Even out light and contrast in a part of the photo, and draw the clean patterns that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

PER_MODULE = 5  # samples along a module's edge in a drawn or straightened picture
_MODULE_PIXELS = 6.0  # a finer photo is made coarser


@dataclass(frozen=True, slots=True)
class Patch:
    """The code's surroundings with even light and contrast, dark above zero; ``factor`` of its pixels are one of the page."""

    pixels: Floats
    left: int
    top: int
    factor: float

    def on_page(self, place: Floats) -> tuple[float, float]:
        """Convert a place in the patch to the page."""
        return float(place[0]) / self.factor + self.left, float(place[1]) / self.factor + self.top


def normalise(grey: NDArray[np.uint8], box: tuple[float, float, float, float], module: float) -> Patch:
    """Normalise a part of the page (left, top, right, bottom) whose modules have about ``module`` pixels."""
    import cv2
    import numpy as np

    left, top = max(0, int(box[0])), max(0, int(box[1]))
    patch = grey[top : int(box[3]), left : int(box[2])].astype(np.float32)
    factor = min(1.0, _MODULE_PIXELS / module)
    if factor < 1:
        patch = cv2.resize(patch, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    module *= factor
    if module > 2.5:
        patch = soft_of(patch, 0.12 * module)
    mean = _broad(patch, 3.5 * module)
    spread = np.sqrt(np.maximum(_broad((patch - mean) ** 2, 4.5 * module), 0))
    floor = max(2.0, 0.1 * float(np.percentile(spread, 90)))
    return Patch(np.clip((mean - patch) / (spread + floor), -2, 2).astype(np.float32), left, top, factor)


def evened(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Even out contrast in 8 × 8 places, limited so that noise stays noise."""
    import cv2

    return cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(grey)  # type: ignore[return-value]


def soft_of(values: Floats, sigma: float) -> Floats:
    """Smooth; ``sigma`` in samples."""
    import cv2

    return cv2.GaussianBlur(values, (0, 0), sigma)  # type: ignore[return-value]


def _broad(values: Floats, sigma: float) -> Floats:
    """Approximate wide smoothing by two boxes, whose cost does not grow with ``sigma``."""
    import cv2

    edge = round((6 * sigma**2 + 1) ** 0.5) | 1
    return cv2.blur(cv2.blur(values, (edge, edge)), (edge, edge))  # type: ignore[return-value]


def ring_pattern(radii: tuple[int, ...], edge: int) -> Floats:
    """±1 by the distance from the middle, in modules, largest first: dark where its entry in ``radii`` is 1."""
    import numpy as np

    away = np.abs(np.arange(edge) - edge // 2)
    return np.array(radii, np.float32)[np.maximum(away[:, None], away[None])] * 2 - 1


def drawn(modules: Floats, soft: float = 0.4) -> Floats:
    """Draw modules as a slightly blurred picture of ``PER_MODULE`` samples each."""
    import cv2
    import numpy as np

    big = np.kron(modules, np.ones((PER_MODULE, PER_MODULE), np.float32))
    return cv2.GaussianBlur(big, (0, 0), soft * PER_MODULE)  # type: ignore[return-value]


def places(size: int, middle: float) -> tuple[Floats, Floats]:
    """Each sample's module coordinates, from the middle."""
    import numpy as np

    line = ((np.arange(size) + 0.5) / PER_MODULE - middle).astype(np.float32)
    u, v = np.meshgrid(line, line)
    return u, v
