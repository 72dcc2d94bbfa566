"""Try a built package as a stranger finds it: ``python packaging/smoke.py dist/cloudfilm-….tar.gz``.

It is unpacked into a new folder and runs with a new home and a path without Python: every reader is there, a photo is
decoded, the demo hospital's study is grabbed through a real browser without a window, checked and handed on, and the window
is opened in a browser and ends with its page. docs/packages.md quotes the sizes and times that are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402  # the tree's own modules come after the line before

from fixtures.dicom import chest_ct  # noqa: E402
from fixtures.sites.shdc import site  # noqa: E402
from fixtures.world import World  # noqa: E402
from scraper.session.browser.discovery import find_browser  # noqa: E402

PHOTO = ROOT / "fixtures" / "report.jpg"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]+/")
SLICES = 40
PATIENCE_S = 300


def unpack(package: Path, target: Path) -> Path:
    """The folder of the programs."""
    if package.is_dir():
        shutil.copytree(package, target / package.name, symlinks=True)
    elif package.suffix == ".gz":
        with tarfile.open(package) as archive:
            archive.extractall(target, filter="fully_trusted")  # made by us a moment ago; it has links
    elif sys.platform == "darwin":
        subprocess.run(["ditto", "-x", "-k", package, target], check=True)
    else:
        with zipfile.ZipFile(package) as archive:
            archive.extractall(target)
    name = "cloudfilm.exe" if os.name == "nt" else "cloudfilm"
    (program,) = [path for path in target.rglob(name) if path.is_file() and path.parent.name != "_internal"]
    return program.parent


def bare_path(target: Path) -> str:
    """A ``PATH`` with every program of the system but Python."""
    if os.name == "nt":
        return os.pathsep.join(str(Path(os.environ["SYSTEMROOT"]) / name) for name in ("System32", ""))
    target.mkdir()
    for folder in ("/usr/local/bin", "/usr/bin", "/bin"):
        for path in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if not path.name.startswith(("python", "pip", "uv", "cloudfilm")):
                with contextlib.suppress(FileExistsError):
                    (target / path.name).symlink_to(path)
    return str(target)


class Package:
    """An unpacked package and the clean surroundings that it runs in."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch
        home = scratch / "home"
        home.mkdir()
        kept = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "TEMP", "TMP", "PROGRAMFILES", "PROGRAMFILES(X86)", "COMSPEC")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "PATH": bare_path(scratch / "bin"),
            "HOME": str(home),
            "USERPROFILE": str(home),
            "LOCALAPPDATA": str(home),
            "CLOUDFILM_LANG": "en",
            "CLOUDFILM_BROWSER": str(find_browser() or ""),
        }

    def command(self, name: str, *words: str | Path) -> list[str]:
        """A command line of one of the package's programs."""
        return [str(self.folder / (f"{name}.exe" if os.name == "nt" else name)), *map(str, words)]

    def run(self, *words: str | Path, code: int = 0) -> str:
        """What a command prints; any other exit code than ``code`` ends the test."""
        began = time.monotonic()
        done = subprocess.run(
            self.command("cloudfilm", *words), env=self.environment, cwd=self.scratch, timeout=PATIENCE_S, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
        )  # fmt: skip
        if done.returncode != code:
            sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        print(f"{time.monotonic() - began:6.1f} s  cloudfilm {' '.join(map(str, words))[:90]}", flush=True)
        return done.stdout


def try_parts(package: Package) -> None:
    """Everything that ``doctor`` looks for is in the package, but for what only the user can fetch."""
    rows = {row["name"]: row for row in map(json.loads, package.run("doctor", "--json").splitlines())}
    missing = sorted(name for name, row in rows.items() if not row["ok"] and name != "wechat")
    if missing:
        sys.exit(f"the package lacks {', '.join(missing)}: {rows}")
    if "shdc" not in package.run("providers"):
        sys.exit("the package lacks providers")


def try_study(package: Package) -> None:
    """From the photo to a verified study, and to a doctor's zip, pictures, a volume and a page."""
    (found,) = [json.loads(line) for line in package.run("decode", PHOTO, "--json").splitlines()]
    if not found.get("link"):
        sys.exit(f"the photo was not decoded: {found}")
    studies = package.scratch / "studies"
    with World(site.ShdcSite(chest_ct(slices=SLICES, size=512, seed=11))) as world:
        answer = f"access_code={site.SECURITY_CODE}"
        package.run("grab", PHOTO, "--answer", answer, "--browser", "always", "-o", studies, *world.options)
    (report,) = studies.glob("*/study.json")
    package.run("verify", report.parent)
    for kind in ("zip", "png", "nifti", "dicomdir"):
        package.run("export", report.parent, "--to", kind, "-o", package.scratch / f"out-{kind}")
    package.run("view", report.parent, "-o", package.scratch / "page.html")


@contextlib.contextmanager
def running(command: list[str], package: Package) -> Iterator[subprocess.Popen[str]]:
    """A process, ended with the block where it has not ended by itself."""
    process = subprocess.Popen(
        command,
        env=package.environment,
        cwd=package.scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def try_window(package: Package) -> None:
    """The window's page is served and drawn, and the program ends after its page is closed."""
    began = time.monotonic()
    with running(package.command("cloudfilm-window", "--no-window"), package) as process:
        assert process.stdout is not None  # noqa: S101  # made with a pipe
        found = ADDRESS.search(process.stdout.readline())
        if found is None:
            sys.exit("the window gave no address")
        served_s = time.monotonic() - began
        times = psutil.Process(process.pid).cpu_times()  # says as much on a busy machine
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(find_browser()), args=["--no-sandbox"])
            page = browser.new_page()
            began_page = time.monotonic()
            page.goto(found[0])
            page.wait_for_selector("button:visible")
            drawn_s = time.monotonic() - began_page
            browser.close()
        if process.wait(PATIENCE_S) != 0:
            sys.exit(f"the window ended with exit code {process.returncode}")
    print(
        f"{served_s:6.1f} s  from the double click to the address ({times.user + times.system:.1f} s of a processor), "
        f"{drawn_s:.1f} s more until a browser has drawn the page"
    )


def main() -> int:
    """Try the package."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("package", type=Path, help="The packed file, or a folder.")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="cloudfilm-smoke-") as scratch:
        package = Package(unpack(chosen.package.resolve(), Path(scratch) / "unpacked"), Path(scratch))
        package.run("--version")
        try_parts(package)
        try_study(package)
        try_window(package)
    print("The package works.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
