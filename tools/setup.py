"""Makes a fresh machine ready: ``python3 tools/setup.py demo|test|docs|package``.

Runs on a bare Python 3.8 or newer, before anything is installed; asks nothing, with or without root and with or
without a screen. Every step looks first whether its work is done. What can't be had is named, with what its
absence costs, and the rest goes on; only a missing Python or package index ends it. ``demo`` needs a browser and
zbar, ``test`` also the DICOM tools of other hands (Orthanc, dcmtk, gdcm, dicom3tools), a virtual screen, and the OHIF and
dwv viewers;
``docs`` needs Python packages alone, and adds those of the dependency group ``docs``;
``package`` is ``demo`` with what a Linux package is made of.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from machine import ROOT, apt, fetch, has_library, privilege, reachable, run, say
from viewers import axe, dwv, mermaid, ohif

VENV = Path(os.environ.get("CLOUDFILM_VENV", "") or ROOT / ".venv")
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST, NEWEST = (3, 11), (3, 14)
TEST_PROGRAMS = {  # Debian's name of the package → a program of it that the tests start
    "orthanc": "Orthanc",
    "orthanc-dicomweb": "",
    "dcmtk": "dcmdump",
    "libgdcm-tools": "gdcmdump",
    "dicom3tools": "dciodvfy",
    "xvfb": "Xvfb",
}
CHROME_DEB = "https://dl.google.com/linux/direct/google-chrome-stable_current_amd64.deb"
BROWSER_DOWNLOAD_S = 150
# what is to be installed stands in these
WANTED_IN = ("pyproject.toml", "uv.lock", "tools/setup.py", "tools/viewers.py")


# ---- Debian packages


def zbar() -> str:
    """The shared library that pyzbar needs; returns what is missing."""
    if has_library("zbar") or apt("libzbar0"):
        return ""
    if shutil.which("brew") and run(["brew", "install", "zbar"]):
        return ""
    return "zbar (apt install libzbar0): codes are read by the other engines alone"


def dicom_tools() -> list[str]:
    """Orthanc and the tools that judge our files in the tests; returns what is missing."""

    def there(package: str, program: str) -> bool:
        if not program:
            return any(Path("/usr").glob("*/orthanc/plugins/libOrthancDicomWeb.so")) or any(
                Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb.so*")
            )
        return bool(shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"))

    def wanted() -> list[str]:
        return [package for package, program in TEST_PROGRAMS.items() if not there(package, program)]

    missing = wanted()
    if missing:
        say("installing " + ", ".join(missing))
        orthanc_is_new = "orthanc" in missing
        if not apt(*missing):
            for package in missing:
                apt(package)
        root = privilege()
        if orthanc_is_new and root is not None and shutil.which("systemctl"):
            # the tests start their own, on free loopback ports
            run([*root, "systemctl", "disable", "orthanc"])
    return [f"{package} (apt install {package}): its tests are skipped" for package in wanted()]


def package_tools() -> str:
    """A compiler, which keeps a Linux package small (packaging/slim.py); returns what is missing."""
    if sys.platform != "linux":
        return ""
    wanted = {"gcc": shutil.which("cc"), "g++": shutil.which("c++"), "binutils": shutil.which("strip")}
    missing = [name for name, is_there in wanted.items() if not is_there]
    if not missing or apt(*missing):
        return ""
    return f"{', '.join(missing)} (apt install {' '.join(missing)}): the package is larger"


# ---- Python and the packages


def interpreter() -> str:
    """A Python that the project supports, installed where possible; an empty text where there is none."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]

    def fits(name: str) -> bool:
        check = f"import sys, venv; sys.exit(not {OLDEST} <= sys.version_info[:2])"
        return bool(shutil.which(name)) and run([name, "-c", check], timeout_s=20)

    for name in (sys.executable, "python3", *names):
        if fits(name):
            return shutil.which(name) or name
    for name in names[::-1]:
        if apt(name, f"{name}-venv") and fits(name):
            return name
    return ""


def environment() -> bool:
    """The virtual environment with a working pip; several ways, because Debian splits venv and pip off Python."""
    if run([PYTHON, "-m", "pip", "--version"], timeout_s=60):
        return True
    say(f"making {VENV}")
    uv = shutil.which("uv") or "uv"
    python = interpreter()
    plain = [python, "-m", "venv", "--clear", VENV]
    package = (
        python
        and subprocess.run(
            [python, "-c", "import sys; print('python3.%d-venv' % sys.version_info[1])"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
    )
    script = VENV / "get-pip.py"
    ways: list[Callable[[], bool]] = [lambda: run([uv, "venv", "--seed", "--clear", "--python", ">=3.11", VENV])]
    if python:
        ways = [
            lambda: run(plain),
            lambda: apt(package, "ca-certificates") and run(plain),
            *ways,
            lambda: (
                run([*plain, "--without-pip"])
                and (
                    run([python, "-m", "pip", "--python", PYTHON, "install", "pip"])
                    or (fetch("https://bootstrap.pypa.io/get-pip.py", script) and run([PYTHON, script]))
                )
            ),
        ]
    if any(way() for way in ways):
        return True
    package = package or f"Python {OLDEST[0]}.{OLDEST[1]} or newer"
    say(f"No virtual environment could be made. Install {package} (apt install {package}) and run this again.")
    return False


def locked(name: str) -> str:
    """A package with the version that ``uv.lock`` has of it."""
    found = re.search(
        rf'^name = "{name}"\nversion = "([^"]+)"$', (ROOT / "uv.lock").read_text(encoding="utf-8"), re.MULTILINE
    )
    return f"{name}=={found[1]}" if found else name


def packages(*groups: str) -> bool:
    """The project itself, editable, with these dependency groups.

    The versions are those of ``uv.lock``, whose addresses are the public index's. Where a mirror is set, or the lock does not fit
    ``pyproject.toml``, the newest that fit are taken, by uv or, without it, by pip.
    """
    wanted = ["-e", ".", *(word for group in groups for word in ("--group", group))]
    say("installing the Python packages")
    pip = [PYTHON, "-m", "pip"]
    if run([*pip, "install", "-q", locked("uv")], timeout_s=300):
        options: list[object] = []
        index = (
            subprocess.run(
                [str(word) for word in (*pip, "config", "get", "global.index-url")],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            .stdout.decode()
            .strip()
        )
        if index and not os.environ.get("UV_DEFAULT_INDEX"):
            options = ["--default-index", index]  # pip's mirror serves uv too
        elif not os.environ.get("UV_DEFAULT_INDEX"):
            here = [PYTHON, "-m", "uv", "sync", "-q", "--locked", "--inexact", "--active", "--no-default-groups"]
            os.environ["VIRTUAL_ENV"] = str(VENV)  # what --active means
            if run([*here, *wanted[2:]]):
                return True
            say("the versions of uv.lock could not be had; taking the newest ones")
        uv = [PYTHON, "-m", "uv", "pip", "install", "-q", "--python", PYTHON, *options]
        if run([*uv, *wanted]):
            return True
    run([*pip, "install", "-q", "--upgrade", "pip>=25.1"])  # the first that knows dependency groups
    return run([*pip, "install", "-q", *wanted], quiet=False)


# ---- browser


def browser_starts() -> bool:
    """Whether the project finds a browser and it comes up without a screen."""
    code = (
        "import subprocess, sys\n"
        "from scraper.session.browser.discovery import find_browser\n"
        "from scraper.core.settings import browser_from_environment\n"
        "found = find_browser(browser_from_environment())\n"
        "words = [str(found), '--headless', '--no-sandbox', '--disable-gpu', '--dump-dom', 'about:blank']\n"
        "sys.exit(subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=40).returncode)"
    )
    return run([PYTHON, "-c", code], timeout_s=60)


def browser() -> str:
    """Playwright's own Chromium, else the system's browser, else a package; returns what is missing."""
    playwright = [PYTHON, "-m", "playwright"]
    own = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "") or Path.home() / ".cache" / "ms-playwright")
    host = os.environ.get("PLAYWRIGHT_DOWNLOAD_HOST", "") or "https://cdn.playwright.dev"
    if not any(own.glob("chromium-*/INSTALLATION_COMPLETE")) and reachable(host):
        say("fetching Playwright's Chromium")
        if not run([*playwright, "install", "--no-shell", "chromium"], timeout_s=BROWSER_DOWNLOAD_S):
            for folder in own.glob("chromium-*"):  # half a browser would be taken for a whole one
                shutil.rmtree(folder, ignore_errors=True)
    if browser_starts():
        return ""
    root = privilege()
    if root is not None and any(own.glob("chromium-*/INSTALLATION_COMPLETE")):
        say("installing the libraries of Playwright's Chromium")
        run([*root, "env", "DEBIAN_FRONTEND=noninteractive", *playwright, "install-deps", "chromium"])
        if browser_starts():
            return ""
    say("installing a browser")
    if apt("chromium") and browser_starts():
        return ""
    # Ubuntu's package is a snap, which containers can't run
    deb = VENV / "google-chrome.deb"
    if shutil.which("apt-get") and root is not None and fetch(CHROME_DEB, deb):
        apt(str(deb))
        deb.unlink()
        if browser_starts():
            return ""
    return "a browser (playwright install --with-deps chromium): sites that need one can't be opened"


# ---- all of it


def fingerprint() -> str:
    """Changes when what is to be installed changes."""
    content = b"".join((ROOT / name).read_bytes() for name in WANTED_IN)
    return hashlib.sha256(content + str(ROOT).encode()).hexdigest()


def main(goal: str) -> int:
    """Make ready for a goal; 0 unless the goal can't be reached at all."""
    for stamp in (VENV / f"ready-for-{goal}", *([VENV / "ready-for-test"] if goal == "demo" else [])):
        done, *lacking = stamp.read_text(encoding="utf-8").splitlines() if stamp.is_file() else [""]
        if done == fingerprint() and PYTHON.exists():
            for line in lacking:
                say(f"still without {line} (`make setup` looks again)")
            return 0
    began = time.monotonic()
    if not environment() or not packages("dev", *(["docs"] if goal == "docs" else [])):
        return 1
    looked = [mermaid()] if goal == "docs" else [zbar(), browser()]
    if goal == "test":
        looked += [*dicom_tools(), ohif(), dwv(), axe()]
    if goal == "package":
        looked += [package_tools()]
    missing = [line for line in looked if line]
    for line in missing:
        say(f"without {line}")
    (VENV / f"ready-for-{goal}").write_text("\n".join([fingerprint(), *missing]), encoding="utf-8")
    say(f"ready for {goal} after {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["demo"], ["test"], ["docs"], ["package"]):
        sys.exit("usage: python3 tools/setup.py demo|test|docs|package")
    sys.exit(main(sys.argv[1]))
