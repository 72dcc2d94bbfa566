"""Undo blur of a few widths by Wiener's filter: defocus and camera shake leave no finder pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EDGE = 640  # pixels of a patch that is sharpened, at most
WIDTHS = (4.5, 7.0, 2.5)  # of the blur, in pixels of that: half a module of codes with 25 to 60 modules
_NOISE = 0.01  # power of the noise over the picture's
_MARGIN = 24  # pixels mirrored around it, so that opposite edges do not meet


def sharpened(grey: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Undo a Gaussian blur of ``sigma`` pixels and scale the result to 0…255."""
    import cv2
    import numpy as np

    values = cv2.copyMakeBorder(grey, *(_MARGIN,) * 4, cv2.BORDER_REFLECT).astype(np.float32)
    rows, columns = values.shape
    down, across = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None]
    blur = np.exp(-2 * (np.pi * sigma) ** 2 * (across**2 + down**2)).astype(np.float32)
    clear = np.fft.irfft2(np.fft.rfft2(values) * (blur / (blur**2 + _NOISE)), s=values.shape)
    inner = clear[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    low, high = np.percentile(inner[::2, ::2], (1, 99))
    stretched = (inner - low) * (255 / max(float(high - low), 1e-6))
    return np.clip(stretched, 0, 255).astype(np.uint8)  # type: ignore[no-any-return]
