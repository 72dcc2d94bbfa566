"""What is installed and what is missing, what its absence costs, and the command that repairs it on this system."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scraper import __version__
from scraper.core.errors import BrowserNotInstalled, WrongOverride
from scraper.core.messages import describe, say
from scraper.core.reasons import Reason
from scraper.core.settings import Language, Settings
from scraper.isolation.own_program import child_command, is_packaged
from scraper.session.browser.discovery import find_browser
from scraper.source.qr import reader as qr

OLDEST_PYTHON = (3, 11)
ROOMY_BYTES = 2_000_000_000  # a CT study of some thousand slices


@dataclass(frozen=True, slots=True)
class Codec:
    """A package that decodes what pydicom alone can't; ``syntaxes`` are Transfer Syntaxes of PS3.5 annex A.4."""

    package: str
    module: str
    syntaxes: str


CODECS = (
    Codec(
        "imagecodecs",
        "imagecodecs",
        "JPEG, JPEG-LS, JPEG 2000, HTJ2K (1.2.840.10008.1.2.4.50 .51 .57 .70 .80 .81, 1.2.840.10008.1.2.4.90 .91 .201 .202 .203)",
    ),
    Codec("simplejpeg", "simplejpeg", "damage in JPEG of 8 bits (1.2.840.10008.1.2.4.50 .51)"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

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
    """Check everything the commands need, without touching the network or writing. A failing check is a line."""
    language = settings.language
    checks: tuple[tuple[str, bool, Callable[[], Iterable[Finding]]], ...] = (
        ("cloudfilm", False, lambda: [Finding("cloudfilm", ok=True, optional=False, found=__version__)]),
        ("python", False, lambda: [_python(language)]),
        ("browser", True, lambda: [_browser(settings)]),
        ("decoders", False, lambda: _decoders(language)),
        ("codecs", True, lambda: _codecs(language)),
        ("disk-space", True, lambda: [_space(settings)]),
        ("overrides", True, lambda: _overrides(language)),
    )
    findings: list[Finding] = []
    for name, optional, check in checks:
        try:
            findings.extend(check())
        except Exception as err:  # noqa: BLE001  # what it was to explain must not end it
            reason = str(err).partition("\n")[0]
            costs = say("doctor.failed", language, name=type(err).__name__, why=reason)
            findings.append(Finding(name, ok=False, optional=optional, found="", costs=costs))
    return findings


def install_browser(settings: Settings) -> str:
    """Download Playwright's own Chromium with the interpreter that runs this, wherever pipx or uv put it.

    ``PLAYWRIGHT_DOWNLOAD_HOST`` names a mirror; ``--proxy`` is passed on.

    Raises:
        BrowserNotInstalled: the installer failed.
    """
    environment = {**os.environ}
    if settings.proxy:
        environment["HTTPS_PROXY"] = environment["HTTP_PROXY"] = settings.proxy
    command = child_command("playwright.__main__", "main", "install", "chromium")
    try:  # its progress is shown on standard error: standard output carries the findings
        done = subprocess.run(command, env=environment, stdout=_stderr_descriptor(), check=False)  # noqa: S603
    except OSError as err:
        raise BrowserNotInstalled(why=type(err).__name__) from err
    found = find_browser()
    if done.returncode or found is None:
        raise BrowserNotInstalled(why=Reason.EXIT_CODE.of(code=done.returncode))
    return str(found)


def _stderr_descriptor() -> int:
    """Descriptor of standard error, even where a caller replaced it by something without one."""
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return subprocess.DEVNULL


def sound(findings: list[Finding]) -> bool:
    """Whether nothing is missing that a command needs."""
    return all(finding.ok or finding.optional for finding in findings)


def _finding(name: str, found: str, mend: str, costs: str, *, optional: bool) -> Finding:
    """A finding; what was found costs nothing and needs no repair."""
    if found:
        return Finding(name, ok=True, optional=optional, found=found)
    return Finding(name, ok=False, optional=optional, found="", costs=costs, mend=mend)


def _python(language: Language) -> Finding:
    ok = sys.version_info[:2] >= OLDEST_PYTHON
    mend = _system_command(apt="python3", brew="python", winget="Python.Python.3.13")
    return _finding(
        "python", platform.python_version() if ok else "", mend, say("doctor.python", language), optional=False
    )


def _browser(settings: Settings) -> Finding:
    found = find_browser(settings.browser_path)
    mend = "cloudfilm doctor --install-browser"
    costs = say("doctor.browser", settings.language)
    return _finding("browser", str(found) if found else "", mend, costs, optional=True)


def _decoders(language: Language) -> Iterator[Finding]:
    contrib = '"opencv-contrib-python-headless<5"'  # OpenCV 5 rejects WeChat's model files
    for engine in qr.engines():
        match engine.lacking:
            case "models":
                mend = "cloudfilm doctor --fetch-models"
            case "contrib":
                mend = _pip_command(contrib)
            case "library":
                mend = _system_command(apt="libzbar0", brew="zbar", winget="") or _pip_command("pyzbar")
            case _:
                mend = _pip_command("pyzbar" if engine.name == "zbar" else engine.name)
        found = _version("pyzbar" if engine.name == "zbar" else engine.name) if engine.available else ""
        costs = say(f"doctor.{engine.name}", language)
        yield _finding(engine.name, found, mend, costs, optional=engine.name != "zxing-cpp")


def _codecs(language: Language) -> Iterator[Finding]:
    for codec in CODECS:
        try:  # imported, not only looked up: a wheel whose system library is missing is as good as none
            importlib.import_module(codec.module)
            found = f"{_version(codec.package)}: {codec.syntaxes}"
        except (ImportError, OSError):
            found = ""
        costs = say("doctor.codec", language, what=codec.syntaxes)
        yield _finding(codec.package, found, _pip_command(codec.package), costs, optional=True)


def _overrides(language: Language) -> Iterator[Finding]:
    """A line for each local override: the constants and since when; what is wrong with it, or that it is out of date."""
    from scraper.registry import catalogue, overrides

    for name in overrides.names():
        title, kind = f"override {name}", catalogue.named(name)
        try:
            found = overrides.saved(kind) if kind is not None else None
        except WrongOverride as err:
            costs = describe(err, language).partition("\n")[0]
            yield Finding(title, ok=False, optional=True, found="", costs=costs, mend=str(overrides.path()))
            continue
        if found is None or found.is_outdated:
            costs = say("doctor.override-outdated", language)
            yield Finding(title, ok=False, optional=True, found="", costs=costs, mend=str(overrides.path()))
        else:
            yield Finding(title, ok=True, optional=True, found=f"{found.since}: {', '.join(sorted(found.values))}")


def _space(settings: Settings) -> Finding:
    """Free space where studies go: of the folder, or its nearest existing parent."""
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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "+"  # there, as a part of another wheel


def _pip_command(package: str) -> str:
    """The command that adds a package to this environment: pipx, uv tool, or pip; a packaged program takes none."""
    if is_packaged():
        return ""
    parts = Path(sys.prefix).parts
    if "pipx" in parts:
        return f"pipx inject cloudfilm {package}"
    if "uv" in parts and "tools" in parts:
        return f"uv tool install --with {package} cloudfilm"
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"{python} -m pip install {package}"


def _system_command(*, apt: str, brew: str, winget: str) -> str:
    """The command of this system's package manager; empty where it offers no such package."""
    sudo = "" if os.name == "nt" or os.geteuid() == 0 else "sudo "
    offers = (("apt-get", apt, f"{sudo}apt install {apt}"), ("brew", brew, f"brew install {brew}"))
    for program, package, command in (*offers, ("winget", winget, f"winget install {winget}")):
        if package and shutil.which(program):
            return command
    return ""
