"""The door to zxing-cpp, zbar and OpenCV's WeChatQRCode: grey pixels in, payloads and their corners out."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.isolation import fence
from scraper.source.qr.payload_text import as_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Polygon = tuple[tuple[int, int], ...]
"""Corners in pixels, (x, y), in the code's own order."""

_HAS_ECI = ("5D 51 32", "5D 51 34", "5D 51 36")
"""``]Q2``, ``]Q4``, ``]Q6``: the code says how its bytes are to be read (ISO/IEC 15424); zxing-cpp tells it in hexadecimal."""
_ZBAR_NAMES = {"QRCODE": "QRCode", "CODE128": "Code128", "CODE39": "Code39", "CODE93": "Code93", "EAN13": "EAN13"}


@dataclass(frozen=True, slots=True)
class FoundCode:
    """One payload and its position."""

    text: str
    symbology: str
    polygon: Polygon


@dataclass(frozen=True, slots=True)
class EngineResult:
    """The result of one reading: payloads, and places that look like a code and could not be read."""

    found: tuple[FoundCode, ...] = ()
    suspects: tuple[Polygon, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """A decoder, for ``doctor``.

    ``lacking`` is empty where it works; else ``package`` (not installed), ``library`` (zbar's own library is missing on
    this machine), ``contrib`` (OpenCV without its contributed modules) or ``models`` (the model files are not there).
    """

    name: str
    lacking: str = ""

    @property
    def available(self) -> bool:
        """Whether it takes part in the search."""
        return not self.lacking


class Kinds(Enum):
    """What zxing-cpp looks for: QR codes, dark or light, of any size; else other printed codes near them."""

    QR = "QRCode"
    BARS = "AllLinear"
    SQUARES = "AllMatrix"


def zxing(
    grey: NDArray[np.uint8] | memoryview,
    *,
    kinds: Kinds = Kinds.QR,
    histogram: bool = False,
    pure: bool = False,
    scale: float = 1.0,
) -> EngineResult:
    """Read codes with zxing-cpp; not the bars on the edge of photographic film, which it finds in a screen's moiré.

    Args:
        grey: (rows, columns).
        kinds: which symbologies.
        histogram: one threshold for the whole picture, in place of local ones.
        pure: the picture holds exactly one upright code.
        scale: resolution of ``grey`` relative to the page; polygons are in the page's pixels.
    """
    import zxingcpp

    is_qr = kinds is Kinds.QR
    formats: Any = getattr(zxingcpp.BarcodeFormat, kinds.value)
    binarizer = zxingcpp.Binarizer.GlobalHistogram if histogram else zxingcpp.Binarizer.LocalAverage
    look = partial(
        zxingcpp.read_barcodes,
        grey,
        formats=formats,
        binarizer=binarizer,
        is_pure=pure,
        try_invert=is_qr,
        try_downscale=is_qr,
        return_errors=is_qr and not pure,
    )
    results = [result for result in look() if result.format != zxingcpp.BarcodeFormat.DXFilmEdge]
    announced: set[bytes] = set()
    if not all(bytes(result.bytes).isascii() for result in results if result.valid):
        with_eci = [result for result in look(text_mode=zxingcpp.TextMode.HexECI) if result.valid]
        announced = {bytes(result.bytes) for result in with_eci if result.text.startswith(_HAS_ECI)}
    found, suspects = [], []
    for result in results:
        place = result.position
        corners = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
        polygon = scaled(((corner.x, corner.y) for corner in corners), scale)
        if result.valid and result.bytes:
            payload = bytes(result.bytes)
            text = str(result.text) if payload in announced else as_text(payload)
            found.append(FoundCode(text, _zxing_name(result), polygon))
        elif result.error is not None:
            suspects.append(polygon)
    return EngineResult(tuple(found), tuple(suspects))


def _zxing_name(result: Any) -> str:
    """The code family's name without the library's spaces: ``QRCode``, ``Code128``, ``DataMatrix``."""
    name = str(getattr(result, "symbology", result.format)).rpartition(".")[2]
    return name.replace(" ", "").replace("-", "")


def scaled(corners: Iterable[tuple[float, float]], scale: float) -> Polygon:
    """Corners in the page's pixels."""
    return tuple((round(x / scale), round(y / scale)) for x, y in corners)


def zbar(grey: NDArray[np.uint8], *, scale: float = 1.0) -> EngineResult:
    """Read codes with zbar; nothing where its library is not installed."""
    try:
        pyzbar = _pyzbar()
    except (ImportError, OSError):  # OSError: a library that is there and does not load
        return EngineResult()
    wanted = [pyzbar.ZBarSymbol[name] for name in _ZBAR_NAMES]
    results = pyzbar.decode((grey.tobytes(), grey.shape[1], grey.shape[0]), symbols=wanted)
    return EngineResult(
        tuple(
            FoundCode(as_text(result.data), _ZBAR_NAMES[result.type], scaled(result.polygon, scale))
            for result in results
        )
    )


def _pyzbar() -> Any:
    """The binding to zbar; behind a fence its library is loaded by name, where it would ask other programs for its place."""
    from pyzbar import zbar_library

    if sys.platform == "linux" and fence.is_up():
        vars(zbar_library)["find_library"] = lambda name: f"lib{name}.so.0"
    from pyzbar import pyzbar

    return pyzbar


class Wechat:
    """OpenCV's WeChatQRCode, where the installed OpenCV has it and the model files are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _detector(self) -> Any:
        import cv2

        from scraper.source.qr.models import are_whole

        if not hasattr(cv2, "wechat_qrcode_WeChatQRCode") or not are_whole(self._folder):
            return None
        files = ("detect.prototxt", "detect.caffemodel", "sr.prototxt", "sr.caffemodel")
        try:
            return cv2.wechat_qrcode_WeChatQRCode(*(str(self._folder / name) for name in files))
        except (cv2.error, SystemError):
            return None

    @property
    def is_there(self) -> bool:
        """Whether it is usable; loads the models."""
        return self._detector is not None

    def read(self, grey: NDArray[np.uint8], *, scale: float = 1.0) -> EngineResult:
        """Read codes; nothing where it is not installed."""
        import cv2

        if self._detector is None:
            return EngineResult()
        try:
            texts, places = self._detector.detectAndDecode(grey)
        except (cv2.error, SystemError, UnicodeDecodeError):
            return EngineResult()  # its binding raises on a payload that is not UTF-8
        pairs = zip(texts, places, strict=False)
        return EngineResult(tuple(FoundCode(text, "QRCode", scaled(place, scale)) for text, place in pairs if text))


def engines(models: Path) -> list[Engine]:
    """The available decoders, and what the others lack."""
    return [Engine("zxing-cpp", _lack_of_zxing()), Engine("zbar", _lack_of_zbar()), _wechat_engine(models)]


def _lack_of_zxing() -> str:
    try:
        import zxingcpp
    except (ImportError, OSError):
        return "package"
    return "" if hasattr(zxingcpp, "read_barcodes") else "package"


def _lack_of_zbar() -> str:
    try:
        from pyzbar import pyzbar
    except ModuleNotFoundError:
        return "package"
    except (ImportError, OSError):
        return "library"  # zbar's own shared library is not on this machine
    return "" if hasattr(pyzbar, "decode") else "package"


def _wechat_engine(models: Path) -> Engine:
    try:
        import cv2
    except (ImportError, OSError):
        return Engine("wechat", "contrib")
    if not hasattr(cv2, "wechat_qrcode_WeChatQRCode"):
        return Engine("wechat", "contrib")
    from scraper.source.qr.models import are_whole

    return Engine("wechat", "" if are_whole(models) else "models")
