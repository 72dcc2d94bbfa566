"""The model files of OpenCV's WeChatQRCode: their folder, their source, and their checksums.

Source:
    OpenCV's third-party repository, branch ``wechat_qrcode``, at the commit that OpenCV's own build downloads from
    (``contrib/modules/wechat_qrcode/CMakeLists.txt``); Apache-2.0.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from scraper.core import settings

COMMIT = "a8b69ccc738421293254aec5ddb38bd523503252"
ADDRESS = f"https://raw.githubusercontent.com/WeChatCV/opencv_3rdparty/{COMMIT}/"
SHA256 = {
    "detect.caffemodel": "cc49b8c9babaf45f3037610fe499df38c8819ebda29e90ca9f2e33270f6ef809",
    "detect.prototxt": "e8acfc395caf443a47f15686a9b9207b36cb8f7e6ceb8fbaf6466665e68a9466",
    "sr.caffemodel": "e5d36889d8e6ef2f1c1f515f807cec03979320ac81792cd8fb927c31fd658ae3",
    "sr.prototxt": "8ae41acba97e8b4a8e741ee350481e49b8e01d787193f470a4c95ee1c02d5b61",
}


class WrongSum(ValueError):
    """A downloaded file does not match its pinned checksum; it was removed."""


def default_folder() -> Path:
    """The folder of the files for this user."""
    return settings.data_folder() / "wechat_qrcode"


@cache
def _sum(path: Path, size: int, changed_ns: int) -> str:
    del size, changed_ns  # they are the cache's key: another file under the same name gets a new checksum
    return hashlib.sha256(path.read_bytes()).hexdigest()


def are_whole(folder: Path) -> bool:
    """Whether all four files exist with the pinned checksums: a foreign model is never loaded."""
    try:
        stats = {name: (folder / name).stat() for name in SHA256}
        return all(_sum(folder / name, stat.st_size, stat.st_mtime_ns) == SHA256[name] for name, stat in stats.items())
    except OSError:
        return False


def fetch_models(download: Callable[[str], bytes], folder: Path | None = None) -> list[Path]:
    """Download missing or broken files, check them against the pinned sums, and return the files written.

    Args:
        download: returns the bytes behind an https address.
        folder: where to; the user's own data folder by default.

    Raises:
        WrongSum: a file does not match its checksum.
        OSError: the folder can't be written.
    """
    import tempfile

    folder = folder or default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, wanted in SHA256.items():
        path = folder / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted:
            continue
        content = download(ADDRESS + name)
        if hashlib.sha256(content).hexdigest() != wanted:
            raise WrongSum(name)
        handle, part = tempfile.mkstemp(dir=folder, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(part).replace(path)
        written.append(path)
    return written
