"""What is installed and what is missing, what its absence costs, and the one command that mends it on this system."""

from __future__ import annotations

import ctypes.util
import hashlib
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scraper.errors import CorruptInstance
from scraper.lang import say
from scraper.session.browser import find_browser
from scraper.settings import Language, Settings, data_folder

OLDEST_PYTHON = (3, 11)
ROOMY_BYTES = 2_000_000_000  # a CT study of some thousand slices

MODELS_URL = (
    "https://raw.githubusercontent.com/WeChatCV/opencv_3rdparty/a8b69ccc738421293254aec5ddb38bd523503252/"
)
"""Where OpenCV's own build takes the four files from (opencv_contrib, modules/wechat_qrcode/CMakeLists.txt)."""
MODELS = {
    "detect.caffemodel": "cc49b8c9babaf45f3037610fe499df38c8819ebda29e90ca9f2e33270f6ef809",
    "detect.prototxt": "e8acfc395caf443a47f15686a9b9207b36cb8f7e6ceb8fbaf6466665e68a9466",
    "sr.caffemodel": "e5d36889d8e6ef2f1c1f515f807cec03979320ac81792cd8fb927c31fd658ae3",
    "sr.prototxt": "8ae41acba97e8b4a8e741ee350481e49b8e01d787193f470a4c95ee1c02d5b61",
}
"""The files of WeChatQRCode and their SHA-256."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A package that decodes what pydicom alone does not; ``syntaxes`` are Transfer Syntaxes of PS3.5 annex A.4."""

    package: str
    module: str
    syntaxes: str


CODECS = (
    Codec(
        "pylibjpeg-libjpeg",
        "libjpeg",
        "JPEG Baseline, Extended, Lossless (1.2.840.10008.1.2.4.50 .51 .57 .70)",
    ),
    Codec("pyjpegls", "jpeg_ls", "JPEG-LS (1.2.840.10008.1.2.4.80 .81)"),
    Codec("pylibjpeg-openjpeg", "openjpeg", "JPEG 2000, HTJ2K (1.2.840.10008.1.2.4.90 .91 .201 .202 .203)"),
    Codec("pylibjpeg-rle", "rle", "RLE Lossless (1.2.840.10008.1.2.5)"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked for.

    ``found`` is its version or place, empty where it is missing. ``costs`` says what its absence costs and ``mend`` is
    the command that mends it; both are empty where ``ok``. Without something ``optional`` every command still works.
    """

    name: str
    ok: bool
    optional: bool
    found: str
    costs: str = ""
    mend: str = ""

    def as_json(self) -> dict[str, object]:
        """One object of ``doctor --json``."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Look at everything the commands need; touches no network and writes nothing."""
    return [
        _python(settings.language),
        _browser(settings),
        *_decoders(settings.language),
        *_codecs(settings.language),
        _models(settings.language),
        _space(settings),
    ]


def sound(findings: list[Finding]) -> bool:
    """Whether nothing is missing that a command needs."""
    return all(finding.ok or finding.optional for finding in findings)


async def fetch_models(
    download: Callable[[str], Awaitable[bytes]],
    folder: Path | None = None,
    models: Mapping[str, str] = MODELS,
) -> list[Path]:
    """Download WeChatQRCode's model files, each checked before it stands under its name; those there are kept.

    Args:
        download: gives the bytes behind an address; the HTTP client's errors pass through.
        folder: where they go; else ``data_folder()/wechat_qrcode``.
        models: file name → SHA-256.

    Raises:
        CorruptInstance: a file is not the one whose SHA-256 is pinned.
    """
    target = folder or models_folder()
    target.mkdir(parents=True, exist_ok=True)
    for name, sha256 in models.items():
        if _is_model(target / name, sha256):
            continue
        content = await download(MODELS_URL + name)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptInstance(what=f"{name}: SHA-256")
        part = target / f"{name}.part"
        part.write_bytes(content)
        part.replace(target / name)
    return [target / name for name in models]


def models_folder() -> Path:
    """Where the model files of WeChatQRCode lie."""
    return data_folder() / "wechat_qrcode"


def _is_model(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _finding(name: str, found: str, mend: str, costs: str, *, optional: bool) -> Finding:
    """``found`` decides: what is there costs nothing and needs no mending."""
    if found:
        return Finding(name, ok=True, optional=optional, found=found)
    return Finding(name, ok=False, optional=optional, found="", costs=costs, mend=mend)


def _python(language: Language) -> Finding:
    ok = sys.version_info[:2] >= OLDEST_PYTHON
    mend = _system_command(apt="python3", brew="python", winget="Python.Python.3.13")
    return _finding(
        "python",
        platform.python_version() if ok else "",
        mend,
        say("doctor.python", language),
        optional=False,
    )


def _browser(settings: Settings) -> Finding:
    found = find_browser(settings.browser_path)
    with_libraries = "--with-deps " if sys.platform == "linux" else ""
    mend = f"{_python_command()} -m playwright install {with_libraries}chromium"
    costs = say("doctor.browser", settings.language)
    return _finding("browser", str(found) if found else "", mend, costs, optional=True)


def _decoders(language: Language) -> Iterator[Finding]:
    yield _package("zxing-cpp", "zxingcpp", "doctor.zxing-cpp", language, optional=False)
    yield _package("opencv-python-headless", "cv2", "doctor.opencv", language, optional=True)
    zbar = _version("pyzbar") if ctypes.util.find_library("zbar") else ""
    mend = _system_command(apt="libzbar0", brew="zbar", winget="") or _pip_command("pyzbar")
    yield _finding("zbar", zbar, mend, say("doctor.zbar", language), optional=True)


def _codecs(language: Language) -> Iterator[Finding]:
    for codec in CODECS:
        yield _package(
            codec.package, codec.module, "doctor.codec", language, optional=True, what=codec.syntaxes
        )


def _models(language: Language) -> Finding:
    folder = models_folder()
    there = all(_is_model(folder / name, sha256) for name, sha256 in MODELS.items())
    costs = say("doctor.wechat-models", language)
    return _finding(
        "wechat-models", str(folder) if there else "", "cloudfilm doctor --fetch-models", costs, optional=True
    )


def _space(settings: Settings) -> Finding:
    """Free space where studies go: of the folder, or of the nearest one above it that exists."""
    folder = settings.output.absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    shown = f"{folder}: {free / 1e9:.1f} GB"
    if not os.access(folder, os.W_OK):
        costs = say("doctor.not-writable", settings.language, path=folder)
    elif free < ROOMY_BYTES:
        costs = say("doctor.disk-space", settings.language, free=f"{free / 1e9:.1f}")
    else:
        return Finding("disk-space", ok=True, optional=True, found=shown)
    return Finding("disk-space", ok=False, optional=True, found=shown, costs=costs, mend="--output DIR")


def _package(  # one row's words
    package: str, module: str, message: str, language: Language, *, optional: bool, what: str = ""
) -> Finding:
    """Imported, not only looked up: a wheel whose system library is missing is as good as none."""
    try:
        importlib.import_module(module)
        found = " ".join(part for part in (_version(package), what) if part)
    except (ImportError, OSError):
        found = ""
    return _finding(
        package, found, _pip_command(package), say(message, language, what=what), optional=optional
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"  # there, and installed by another way than a wheel


def _python_command() -> str:
    return f'"{sys.executable}"' if " " in sys.executable else sys.executable


def _pip_command(package: str) -> str:
    """The command that adds a package to the environment this runs in: pipx, uv tool, or pip."""
    parts = Path(sys.prefix).parts
    if "pipx" in parts:
        return f"pipx inject cloudfilm {package}"
    if "uv" in parts and "tools" in parts:
        return f"uv tool install --with {package} cloudfilm"
    return f"{_python_command()} -m pip install {package}"


def _system_command(*, apt: str, brew: str, winget: str) -> str:
    """The command of the package manager that this system has; empty where it has none that offers the thing."""
    sudo = "" if os.name == "nt" or os.geteuid() == 0 else "sudo "
    offers = (("apt-get", apt, f"{sudo}apt install {apt}"), ("brew", brew, f"brew install {brew}"))
    for program, package, command in (*offers, ("winget", winget, f"winget install {winget}")):
        if package and shutil.which(program):
            return command
    return ""
