"""What belongs into the package, and what of the libraries nobody needs."""

from __future__ import annotations

import sys
from ctypes.util import find_library
from pathlib import Path

from tools.licences import closure

NAME = "cloudfilm"
# codecs that the program calls (scraper/dicom/codecs.py, scraper/source/rare_pictures.py), and what they share
CODECS = ("_shared", "_shared_cython", "_jpeg8", "_jpegls", "_jpeg2k", "_jpegxl")
LEFT_OUT_FILES = (  # below the folder of libraries, as glob patterns
    "cv2/data/*",  # detectors of faces
    "cv2/opencv_videoio_ffmpeg*.dll",  # films; on Windows loaded only when one is opened
    "cv2/qt/**/*",
    "playwright/driver/package/lib/vite/**/*",  # the pages of Playwright's trace viewer and recorder
    "playwright/driver/package/types/**/*",
    "playwright/driver/package/bin/*",  # scripts that install browsers
    "pydicom/data/test_files/**/*",
    "pydicom/data/charset_files/**/*",
    "**/tests/**/*",
    "selectolax/*.c",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
)


def packages() -> list[str]:
    """The distributions that a default install brings, ours first."""
    return sorted(closure(NAME), key=lambda name: (name != NAME, name))


def libraries() -> list[Path]:
    """Shared libraries of the system that the package carries: zbar, which pyzbar's wheel has on Windows alone."""
    if sys.platform == "win32":
        return []
    from PyInstaller.depend.bindepend import resolve_library_path

    found = find_library("zbar")
    path = resolve_library_path(found) if found else None
    if not path:
        sys.exit("zbar is not installed (apt install libzbar0, brew install zbar)")
    return [Path(path)]
