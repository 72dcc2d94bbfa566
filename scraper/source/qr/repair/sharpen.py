"""Undo blur by Wiener's filter: defocus and camera shake leave no finder pattern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scraper.source.qr.repair.perspective import edge_directions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

EDGE = 640  # pixels of a patch that is sharpened, at most
WIDTHS = (4.5, 7.0, 2.5)  # of the blur, in pixels of that: half a module of codes with 25 to 60 modules
SHAPED_EDGE = 480  # pixels of a patch whose blur has the shape of a path or a lens
_LENGTHS = (13.5, 17.0, 20.5, 24.0)  # of the path, in pixels of that: two modules and more
_RADII = (6.5, 8.0, 9.5, 11.5)  # of a point out of focus, likewise
_SMEARED = 1.7  # times as strong edges one way as the other: the camera moved across the weaker ones
_SHARP = 0.1  # slope of edges (``_slope``) of which no blur of a module leaves as much; codes that are sharp have 0.2
_SOBEL = 8  # what Sobel's kernel makes of a step of 1 a pixel
_NOISE = 0.01  # power of the noise over the picture's
_PATH_NOISE = 0.03  # the same where the path was not quite straight, nor of quite that length
_FINE_NOISE = 0.003  # the same where a lens that is out of focus lets through next to nothing
_MARGIN = 24  # pixels mirrored around it, so that opposite edges do not meet


def sharpened(grey: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Undo a Gaussian blur of ``sigma`` pixels and scale the result to 0…255."""
    import numpy as np

    picture = _Spectrum(grey)
    blur = np.exp(-2 * (np.pi * sigma) ** 2 * (picture.across**2 + picture.down**2))
    return picture.without(blur, _NOISE)


def shape_unblurred(grey: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Undo the camera's motion, where edges run one way, else defocus: blurs of a module and more, by several sizes.

    Nothing comes of a picture that has sharp edges every way: no such blur is in it.

    Args:
        grey: (rows, columns), at most ``SHAPED_EDGE`` each.
    """
    import numpy as np

    strengths, ways = edge_directions(grey)
    if _slope(grey, ways[:, 0]) > _SHARP:
        return
    picture = _Spectrum(grey)
    if strengths[1] > _SMEARED**2 * strengths[0]:
        along = picture.across * ways[0, 0] + picture.down * ways[1, 0]
        for length in _LENGTHS:
            yield picture.without(np.sinc(length * along), _PATH_NOISE)
        return
    for radius in _RADII:
        yield picture.without(picture.of_disc(radius), _FINE_NOISE)


def _slope(grey: NDArray[np.uint8], way: Floats) -> float:
    """How much of the contrast the sharpest edges take in one pixel's step, in the direction ``way`` (x, y)."""
    import cv2
    import numpy as np

    x, y = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    low, high = np.percentile(grey[::2, ::2], (1, 99))
    steepest = np.percentile(np.abs(x * way[0] + y * way[1])[::2, ::2], 99)
    return float(steepest) / _SOBEL / max(float(high - low), 1.0)


class _Spectrum:
    """A picture with its mirrored margin as frequencies; ``across`` and ``down`` in cycles per pixel."""

    def __init__(self, grey: NDArray[np.uint8]) -> None:
        import cv2
        import numpy as np

        values = cv2.copyMakeBorder(grey, *(_MARGIN,) * 4, cv2.BORDER_REFLECT).astype(np.float32)
        self._shape = rows, columns = values.shape
        self._values = np.fft.rfft2(values)
        self.across: Floats = np.fft.rfftfreq(columns)[None]
        self.down: Floats = np.fft.fftfreq(rows)[:, None]

    def of_disc(self, radius: float) -> Floats:
        """A point's image through a lens that is out of focus, as frequencies; ``radius`` in pixels."""
        import numpy as np

        rows, columns = (np.fft.fftfreq(size) * size for size in self._shape)
        disc = np.clip(radius + 0.5 - np.hypot(rows[:, None], columns[None]), 0, 1)
        return np.fft.rfft2(disc / disc.sum()).real

    def without(self, blur: Floats, noise: float) -> NDArray[np.uint8]:
        """The picture without a symmetric blur of those frequencies, scaled to 0…255."""
        import numpy as np

        clear = np.fft.irfft2(self._values * (blur / (blur**2 + noise)), s=self._shape)
        inner = clear[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        low, high = np.percentile(inner[::2, ::2], (1, 99))
        stretched = (inner - low) * (255 / max(float(high - low), 1e-6))
        return np.clip(stretched, 0, 255).astype(np.uint8)  # type: ignore[no-any-return]
