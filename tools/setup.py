"""Makes a fresh machine ready: ``python3 tools/setup.py demo|test``.

Runs on a bare Python 3.8 or newer, before anything is installed; asks nothing, with or without root and with or
without a screen. Every step looks first whether its work is done. What can't be had is named, with what its
absence costs, and the rest goes on; only a missing Python or package index ends it. ``demo`` needs a browser and
zbar, ``test`` also the DICOM tools of other hands (Orthanc, dcmtk, gdcm, dicom3tools) and the OHIF and dwv viewers.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("CLOUDFILM_VENV", "") or ROOT / ".venv")
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST, NEWEST = (3, 11), (3, 14)
TEST_PROGRAMS = {  # Debian's name of the package → a program of it that the tests start
    "orthanc": "Orthanc",
    "orthanc-dicomweb": "",
    "dcmtk": "dcmdump",
    "libgdcm-tools": "gdcmdump",
    "dicom3tools": "dciodvfy",
}
OHIF = "3.13.2"
OHIF_SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
DWV = {  # npm's name and version → what is wanted of it, and its archive's SHA-512
    "dwv@0.36.4": (
        "package/dist/",
        "kXGlujGcCKSJD6s0THa2z4Kn/aVCdltvbgrn8g2WcTA8TgLZJHp6Z0Tbu3gxkerIaMCrTC4TbaWJI0nq9tPAFg==",
    ),
    "konva@10.2.0": (
        "package/konva.min.js",
        "JBoz0Xjbf49UPxCZegZ4WseqOzJ+C4AUDOtJ9eBve5RS5Fcq/u8TdBD5fDl/uPFInpC3a9uycm0sRyZpF4hheg==",
    ),
    "jszip@3.10.1": (
        "package/dist/jszip.min.js",
        "xXDvecyTpGLrqFrvkrUSoxxfJI5AH7U8zxxtVclpsUtMCq4JQ290LY8AW5c7Ggnr/Y/oK+bQMbqK2qmtk3pN4g==",
    ),
}
CHROME_DEB = "https://dl.google.com/linux/direct/google-chrome-stable_current_amd64.deb"
BROWSER_DOWNLOAD_S = 150


def say(text: str) -> None:
    """One line of talk, on standard error."""
    print(f"[setup] {text}", file=sys.stderr, flush=True)


def run(command: Sequence[object], timeout_s: float = 900, *, quiet: bool = True) -> bool:
    """Run a program without input; when it fails, the end of its output is shown, unless ``quiet``.

    Returns:
        whether it ended with 0, in time.
    """
    words = [str(word) for word in command]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            start_new_session=True,  # so that its children end with it
        )
    except OSError as err:
        if not quiet:
            say(f"{words[0]}: {err}")
        return False
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except BaseException as err:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        if isinstance(err, subprocess.TimeoutExpired):
            say(f"{words[0]}: given up after {timeout_s:.0f} s")
            return False
        raise
    if process.returncode and not quiet:
        tail = output.decode("utf-8", "replace").strip().splitlines()[-15:]
        say("\n        ".join([f"{' '.join(words[:4])} … ended with {process.returncode}", *tail]))
    return process.returncode == 0


# ---- what only the system's package manager can install


def privilege() -> list[str] | None:
    """What makes a command run as root: nothing, ``sudo -n``, or None where root can't be had."""
    if os.name != "posix":
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and run(["sudo", "-n", "true"], timeout_s=10):
        return ["sudo", "-n"]
    return None


@contextmanager
def services_stay_off(root: list[str]) -> Iterator[None]:
    """While a package is installed, its service is not started (Orthanc's would listen on the network)."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    script = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d"
    run([*root, "sh", "-c", script])
    try:
        yield
    finally:
        run([*root, "rm", "-f", str(policy)])


def apt(*packages: str) -> bool:
    """Install Debian packages, with the lists at hand, else with fresh ones; False where that can't be done."""
    root = privilege()
    if root is None or not shutil.which("apt-get"):
        return False
    get = [
        *root,
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-y",
        "-q",
        "-o",
        "DPkg::Lock::Timeout=180",
        "-o",
        "Acquire::Retries=3",
    ]
    install = [*get, "install", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", *packages]
    with services_stay_off(root):
        if run(install):
            return True
        run([*get, "update"], timeout_s=300)
        return run(install, quiet=False)


def has_library(name: str) -> bool:
    """Whether the dynamic linker finds ``name`` (``zbar``)."""
    code = "import ctypes.util, sys; sys.exit(0 if ctypes.util.find_library(sys.argv[1]) else 1)"
    if run([sys.executable, "-c", code, name]):
        return True
    places = ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")
    return any(next(Path(place).glob(f"**/lib{name}.*"), None) for place in places if Path(place).is_dir())


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
            run(
                [*root, "systemctl", "disable", "orthanc"]
            )  # the tests start their own, on free loopback ports
    return [f"{package} (apt install {package}): its tests are skipped" for package in wanted()]


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
    package = python and subprocess.run(
        [python, "-c", "import sys; print('python3.%d-venv' % sys.version_info[1])"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    script = VENV / "get-pip.py"
    ways: list[Callable[[], bool]] = [
        lambda: run([uv, "venv", "--seed", "--clear", "--python", ">=3.11", VENV])
    ]
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
    say(
        f"No virtual environment could be made. Install {package} (apt install {package}) and run this again."
    )
    return False


def packages() -> bool:
    """The project itself, editable, with what its development needs; by uv, which is quick, else by pip."""
    say("installing the Python packages")
    pip = [PYTHON, "-m", "pip"]
    if run([*pip, "install", "-q", "uv>=0.7"], timeout_s=300):
        options: list[object] = []
        index = subprocess.run(
            [str(word) for word in (*pip, "config", "get", "global.index-url")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        ).stdout.decode().strip()  # fmt: skip
        if index and not os.environ.get("UV_DEFAULT_INDEX"):
            options = ["--default-index", index]  # pip's mirror serves uv too
        if run(
            [
                PYTHON,
                "-m",
                "uv",
                "pip",
                "install",
                "-q",
                "--python",
                PYTHON,
                *options,
                "-e",
                ".",
                "--group",
                "dev",
            ]
        ):
            return True
    run([*pip, "install", "-q", "--upgrade", "pip>=25.1"])  # the first that knows dependency groups
    return run([*pip, "install", "-q", "-e", ".", "--group", "dev"], quiet=False)


# ---- browser


def browser_starts() -> bool:
    """Whether the project finds a browser and it comes up without a screen."""
    code = (
        "import subprocess, sys\n"
        "from scraper.session.installed import find_browser\n"
        "from scraper.settings import browser_from_environment\n"
        "found = find_browser(browser_from_environment())\n"
        "words = [str(found), '--headless', '--no-sandbox', '--disable-gpu', '--dump-dom', 'about:blank']\n"
        "sys.exit(subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=40).returncode)"
    )
    return run([PYTHON, "-c", code], timeout_s=60)


def reachable(url: str) -> bool:
    """Whether a server answers at all within a few seconds, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=6).close()  # noqa: S310  fixed https addresses
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def fetch(url: str, target: Path) -> bool:
    """Download one file whole, or not at all."""
    part = target.with_name(target.name + ".part")
    try:
        with urllib.request.urlopen(url, timeout=30) as answer, part.open("wb") as file:  # noqa: S310  fixed https addresses
            shutil.copyfileobj(answer, file)
    except OSError as err:
        say(f"{url}: {err}")
        part.unlink() if part.exists() else None
        return False
    part.replace(target)
    return True


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


# ---- viewers of npm


def npm_package(name: str, sha512: str, wanted: str, folder: Path) -> bool:
    """A package as npm publishes it, under ``folder/package``: its files whose names begin with ``wanted``.

    Args:
        name: ``name@version``.
        sha512: of its archive, in base64.
        wanted: the beginning of the names that are unpacked; source maps are not.
        folder: where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain, _, version = name.rpartition("@")
    archive = folder / f"{plain.lstrip('@').replace('/', '-')}-{version}.tgz"

    def sound() -> bool:
        if not archive.is_file():
            return False
        return base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() == sha512

    if not sound() and shutil.which("npm"):
        run(["npm", "pack", name, "--silent", "--pack-destination", folder], timeout_s=300)
    if not sound():
        fetch(f"https://registry.npmjs.org/{plain}/-/{plain.rpartition('/')[2]}-{version}.tgz", archive)
    if not sound():
        return False
    unpacking = folder / "unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)
    with tarfile.open(archive) as tar:
        members = [
            member
            for member in tar.getmembers()
            if member.isfile() and ".." not in member.name and member.name.startswith(wanted)
            and not member.name.endswith(".map")
        ]  # fmt: skip
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.2 has none
        tar.extractall(unpacking, members=members, **safe)  # noqa: S202  its SHA-512 is pinned, and names are checked above
    shutil.rmtree(folder / "package", ignore_errors=True)
    (unpacking / "package").replace(folder / "package")
    shutil.rmtree(unpacking, ignore_errors=True)
    archive.unlink()
    return True


def ohif(folder: Path = ROOT / ".cache" / "ohif") -> str:
    """The OHIF viewer, under ``.cache/ohif/package``; returns what is missing."""
    if (folder / "package" / "dist" / "index.html").is_file():
        return ""
    say(f"fetching OHIF {OHIF} (50 MB)")
    if npm_package(f"@ohif/app@{OHIF}", OHIF_SHA512, "package/dist/", folder):
        return ""
    return f"OHIF (npm pack @ohif/app@{OHIF}): the test with the real viewer is skipped"


def dwv(folder: Path = ROOT / ".cache" / "dwv") -> str:
    """The dwv viewer and what it is made of, under ``.cache/dwv/NAME/package``; returns what is missing."""
    for name, (wanted, sha512) in DWV.items():
        target = folder / name.partition("@")[0]
        if not (target / "package").is_dir():
            say(f"fetching {name}")
            if not npm_package(name, sha512, wanted, target):
                return f"{name} (npm pack {name}): the test with that viewer is skipped"
    return ""


# ---- all of it


def fingerprint() -> str:
    """Changes when what is to be installed changes."""
    content = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "tools/setup.py"))
    return hashlib.sha256(content + str(ROOT).encode()).hexdigest()


def main(goal: str) -> int:
    """Make ready for ``demo`` or ``test``; 0 unless the goal can't be reached at all."""
    for stamp in (VENV / f"ready-for-{goal}", VENV / "ready-for-test"):
        done, *lacking = stamp.read_text(encoding="utf-8").splitlines() if stamp.is_file() else [""]
        if done == fingerprint() and PYTHON.exists():
            for line in lacking:
                say(f"still without {line} (`make setup` looks again)")
            return 0
    began = time.monotonic()
    if not environment() or not packages():
        return 1
    looked = [zbar(), browser()]
    if goal == "test":
        looked += [*dicom_tools(), ohif(), dwv()]
    missing = [line for line in looked if line]
    for line in missing:
        say(f"without {line}")
    (VENV / f"ready-for-{goal}").write_text("\n".join([fingerprint(), *missing]), encoding="utf-8")
    say(f"ready for {goal} after {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["demo"], ["test"]):
        sys.exit("usage: python3 tools/setup.py demo|test")
    sys.exit(main(sys.argv[1]))
