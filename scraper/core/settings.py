"""The options of one run, frozen and passed; the one place that reads the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from scraper.core import output
from scraper.core.errors import UsageError
from scraper.core.timings import Timings


class BrowserUse(StrEnum):
    """``--browser``."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Language(StrEnum):
    """``--lang``."""

    ZH = "zh"
    EN = "en"


# What a site may make of a text before it counts as an attack; a real study of 10,000 images lists some 3 million nodes.
MAX_JSON_BYTES = 128 << 20  # of one list; its texts take up to four times as much
MAX_JSON_NODES = 6_000_000  # arrays, objects and entries; an empty array takes 64 bytes, an object with a field 240
MAX_FRAMES = 100_000  # of one object; slide microscopy has some 50,000
MAX_INSTANCES = 200_000  # that a list may describe by a number alone, without naming each
TIMEOUT_S = 60.0  # what --timeout is where the user gives none
LOOK_S = 0.5  # between two looks at a page
QUIET_S = 8.0  # a page that shows nothing known and asks for nothing this long has shown all that it will
PERSON_S = 240.0  # for a person at the window (field reports: 2 to 4 minutes)
GIVE_UP_S = (
    300.0  # what --give-up is where the user gives none: five minutes of nothing new are longer than any pause seen
)
# ---- bounds against a site that means harm, or is broken; each is far above what an honest one needs
SLOWEST_BYTES_S = 256  # over --timeout: a telephone line of 1995 is ten times as fast
LONGEST_RETRY_AFTER_S = 300.0  # a host that asks for a longer pause is not waited for: a person can come back
MOST_LIST_BYTES = 64 * 2**20  # of one list or page: 100,000 instances in DICOM JSON are 30 MB
MOST_PART_BYTES = 256 * 2**20  # of one frame, or another answer that is not written to a file: it is held in memory
MOST_INSTANCE_BYTES = (
    2 * 2**30
)  # of one instance: pixel data of a defined length ends at 4 GB, the largest seen have 1 GB
MOST_PACKAGE_BYTES = 16 * 2**30  # of one zip: the largest study seen had 6 GB
RESERVE_BYTES = 500 * 2**20  # of the disk that stay free: a computer whose disk is full is of no use to anybody
RESERVE_EVERY_BYTES = 16 * 2**20  # written between two looks at the disk
MOST_DIALOGS = 50  # that one window's pages may show: an honest page shows three
MOST_BROWSER_BYTES = (
    1000 * 2**20
)  # that the browser takes in all its processes, with its driver, before images come: OHIF takes some 560 MB
MOST_VIEWER_BYTES = 3000 * 2**20  # the same, however many images came: Cornerstone 3D caches so much by default
MEMORY_OF_IMAGES = 8  # × their bytes, that the browser may take for images: received, decoded, and as textures
MOST_AHEAD_BYTES = 48 * 2**20  # of images that a page fetches before it is known whether it must show them all itself
MOST_SCRIPT_MEGABYTES = 768  # of one page's script objects; their pixels count as bodies
MOST_BUSY_TIMES = 6  # × --give-up, without an image: a page may go on that long with useless answers (30 minutes)
MOST_LISTING_TIMES = 72  # × --give-up: a viewer that still shows new images after six hours invents them
MOST_SENT_ABROAD = 64 * 2**20  # bytes that one window's pages send to other sites: some 100,000 requests
MOST_CONNECTIONS_ABROAD = 3000  # of one window to other sites: 100,000 images from another host take some 1,000
NEWS_BYTES = 2 * 2**10  # of an answer in the browser that counts as something new; a page's own polling is shorter


class Target(StrEnum):
    """What ``export --to`` makes."""

    ZIP = "zip"
    DICOMDIR = "dicomdir"
    PNG = "png"
    JPG = "jpg"
    NIFTI = "nifti"
    ISO = "iso"
    TABLE = "table"


class ExportUnit(StrEnum):
    """``export --each``: what becomes an export of its own."""

    STUDY = "study"
    PATIENT = "patient"


class Retain(StrEnum):
    """The options of PS3.15 E.3 by name."""

    PATIENT_CHARACTERISTICS = "patient-characteristics"  # sex, age, size, weight
    DEVICE_IDENTITY = "device-identity"  # station, serial number
    INSTITUTION_IDENTITY = "institution-identity"
    CLEAN_DESCRIPTORS = "clean-descriptors"  # descriptions, without what identifies the patient
    LONGITUDINAL_FULL_DATES = "longitudinal-full-dates"  # dates as they are
    UIDS = "uids"


class BurnedIn(StrEnum):
    """What the user wants of images that may show text."""

    KEEP = "keep"  # named, and taken along
    LEAVE_OUT = "leave-out"
    BLANK = "blank"  # all but the regions that an ultrasound image names; other images are left out


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """``--connect-to HOST:PORT:ADDRESS:PORT``, as in curl; an empty host or port means any."""

    host: str
    port: int | None
    address: str
    to_port: int | None

    @classmethod
    def parse(cls, text: str) -> ConnectTo:
        """Read one option; IPv6 addresses are in brackets.

        Raises:
            UsageError: not of the form HOST:PORT:ADDRESS:PORT.
        """
        parts: list[str] = []
        rest = text
        while rest or len(parts) < 4:
            if rest.startswith("["):
                inside, closing, rest = rest[1:].partition("]")
                if not closing:
                    break
                parts.append(inside)
                rest = rest.removeprefix(":")
            else:
                head, _, rest = rest.partition(":")
                parts.append(head)
            if len(parts) > 4:
                break
        ports_are_sound = len(parts) == 4 and all(
            not port or (port.isascii() and port.isdigit() and int(port) < 65536) for port in (parts[1], parts[3])
        )
        if not ports_are_sound or not (parts[2] or parts[3]):
            raise UsageError(f"--connect-to {text}: HOST:PORT:ADDRESS:PORT")
        return cls(parts[0].lower(), int(parts[1]) if parts[1] else None, parts[2], int(parts[3]) if parts[3] else None)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chose; nothing below the command line reads options from anywhere else."""

    output: Path = Path("cloudfilm")
    answers: Mapping[str, str] = field(default_factory=dict, repr=False)
    provider: str = ""
    browser: BrowserUse = BrowserUse.AUTO
    headed: bool = False
    series: tuple[str, ...] = ()
    jobs: int = 6
    rate: float | None = None
    timeout_s: float = TIMEOUT_S
    give_up_s: float = GIVE_UP_S  # a run that receives nothing new for so long ends with what it has
    decode_timeout_s: float = 20.0
    vain_s: float = 60.0  # for all of a viewer of which no image came at a thorough look
    still_s: float = 30.0  # a page that has loaded and shows no sign of life for so long is given up
    insecure: bool = False
    connect_to: tuple[ConnectTo, ...] = ()
    proxy: str = field(default="", repr=False)  # may hold a password
    language: Language = Language.EN
    expect: int | None = None  # images that the viewer or the paper says there are, of all that a source gives
    expect_name: str = field(default="", repr=False)  # whose study it must be
    folder_name: str = ""  # --name: the template of a study's folder
    label: str = field(default="", repr=False)  # what a list calls the source
    verbosity: int = 0  # -1 with -q, 1 with -v
    interactive: bool = False  # a person sits at the terminal and may be asked
    fetch_missing: bool = False  # ask, without the session, for what a recording's lists name and it lacks
    keep_programs: bool = False  # the browser's traffic keeps scripts and style sheets too
    timings: Timings = field(default_factory=Timings)
    tls_authority: Path | None = None  # certificates to trust in the place of the system's
    tls_certificate: Path | None = None  # of this computer, for who asks for one
    tls_key: Path | None = None
    browser_path: str = ""  # CLOUDFILM_BROWSER: an executable to use before any other


def password_from_environment() -> str:
    """``CLOUDFILM_PASSWORD``, or nothing."""
    return os.environ.get("CLOUDFILM_PASSWORD", "")


def browser_from_environment() -> str:
    """``CLOUDFILM_BROWSER``: the browser's executable, or nothing."""
    return os.environ.get("CLOUDFILM_BROWSER", "")


def language_from_environment() -> Language:
    """Chinese where the locale is Chinese (``LC_ALL``, ``LC_MESSAGES``, ``LANG``, in that order), else English.

    Where standard error can't hold Chinese (code page 1252), English is better than nothing.
    """
    if not output.can_write("中文", sys.stderr):
        return Language.EN
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return Language.ZH if value.lower().startswith("zh") else Language.EN
    return Language.ZH if system_language().startswith("zh") else Language.EN


def system_language() -> str:
    """The language of the user's Windows or macOS, as ``zh`` or ``en-US``; empty where it is not known."""
    if sys.platform == "win32":
        import ctypes

        number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
        return "zh" if number & 0x3FF == 0x04 else "en"  # the primary language of a LANGID
    if sys.platform == "darwin":
        import plistlib

        path = Path.home() / "Library" / "Preferences" / ".GlobalPreferences.plist"
        try:
            found = plistlib.loads(path.read_bytes()).get("AppleLanguages") or [""]
        except (OSError, ValueError, plistlib.InvalidFileException):
            return ""
        return str(found[0])
    return ""


def data_folder() -> Path:
    """Where model files are kept for this user; ``CLOUDFILM_DATA`` moves it."""
    chosen = os.environ.get("CLOUDFILM_DATA", "")
    if chosen:
        return Path(chosen)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "cloudfilm"
    return Path(os.environ.get("XDG_DATA_HOME", "") or Path.home() / ".local" / "share") / "cloudfilm"


def playwright_folder() -> Path:
    """Where Playwright keeps the browsers that it downloaded; ``PLAYWRIGHT_BROWSERS_PATH`` moves it."""
    chosen = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    if chosen not in ("", "0"):
        return Path(chosen)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "ms-playwright"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ms-playwright"
    return Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache") / "ms-playwright"


def program_folders() -> list[Path]:
    """Where Windows keeps programs, for all users and for this one; nothing elsewhere."""
    names = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
    return [Path(os.environ[name]) for name in names if os.environ.get(name)] if os.name == "nt" else []


def temporary_folder_name() -> str:
    """The temporary folder's name, where the system has none that can be written."""
    return os.environ.get("TMPDIR") or os.environ.get("TEMP") or "/tmp"  # noqa: S108  # named only


def has_screen() -> bool:
    """Whether a window can be shown; Linux says so by ``DISPLAY`` or ``WAYLAND_DISPLAY``."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
