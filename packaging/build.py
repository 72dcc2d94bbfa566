"""Build the package for this system, into ``dist/``: ``python packaging/build.py [--keep] [--no-smoke]``.

An environment with nothing but the program and PyInstaller is made, the program is frozen in it, what nobody needs is
taken out, and the result is packed: on Linux a ``.tar.gz`` of one folder, on Windows a ``.zip``, on macOS a ``.zip`` of the
application.
The installers (AppImage, Inno Setup, dmg) are made of the same folder by the workflow ``package.yml``: their tools
are no packages of a registry. At the end the package is tried as a stranger would find it (``smoke.py``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "packaging"
WORK = ROOT / "build" / "package"
OUT = ROOT / "dist"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION: str = PROJECT["project"]["version"]
TOOLS: list[str] = PROJECT["dependency-groups"]["package"]
SYSTEM = {"linux": "linux", "win32": "windows", "darwin": "macos"}[sys.platform]
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
NO_BLAS = ("-Dblas=none", "-Dlapack=none", "-Dallow-noblas=true")  # numpy's documentation, "BLAS and LAPACK"
NAME = f"cloudfilm-{VERSION}-{SYSTEM}-{MACHINE}"


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(*words: str | Path, **more: object) -> None:
    """Run a program; its failure ends the build."""
    print("$", *(str(word).replace(f"{ROOT}{os.sep}", "") for word in words), flush=True)
    subprocess.run([str(word) for word in words], check=True, cwd=ROOT, **more)  # type: ignore[call-overload]


def environment(name: str, *wanted: str) -> Path:
    """A new virtual environment with these packages; its interpreter. By uv where it is, which is quick."""
    folder = WORK / name
    python = python_of(folder)
    shutil.rmtree(folder, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"]
    if subprocess.run([*uv, "--version"], capture_output=True, check=False).returncode == 0:
        run(*uv, "-q", "venv", "--python", sys.executable, folder)
        run(*uv, "-q", "pip", "install", "--python", python, *wanted)
    else:
        run(sys.executable, "-m", "venv", folder)
        run(python, "-m", "pip", "install", "-q", *wanted)
    return python


def without_blas(python: Path) -> None:
    """On Linux, NumPy from its source with the small LAPACK that comes with it: its wheel holds 28 MB of OpenBLAS.

    The largest equations are of 82 unknowns (scraper/source/qr/repair/deblur.py). Where it can't be built, the wheel stays.
    """
    if SYSTEM != "linux" or shutil.which("cc") is None:
        return
    code = "import numpy; print(numpy.__version__)"
    version = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    settings = [word for name in NO_BLAS for word in ("-C", f"setup-args={name}")]
    words = ["--reinstall-package", "numpy", "--no-deps", "--no-binary", "numpy", *settings, f"numpy=={version}"]
    try:
        run(sys.executable, "-m", "uv", "-q", "pip", "install", "--python", python, *words)
    except subprocess.CalledProcessError:
        print("NumPy could not be built without OpenBLAS: the package is some 28 MB larger", flush=True)


def freeze() -> Path:
    """The folder of the frozen program, ready to be packed."""
    python = environment("frozen", str(ROOT), *TOOLS)
    without_blas(python)
    made = WORK / "made"
    shutil.rmtree(made, ignore_errors=True)
    run(
        python, "-m", "PyInstaller", HERE / "cloudfilm.spec", "--noconfirm", "--log-level", "WARN",
        "--distpath", made, "--workpath", WORK / "work",
    )  # fmt: skip
    folder = made / "cloudfilm"
    libraries = folder / "_internal"
    if SYSTEM == "macos":
        shutil.rmtree(folder)
        folder = made / "cloudfilm.app"
        libraries = folder / "Contents" / "Frameworks"
    run(python, HERE / "prune.py", libraries, env={**os.environ, "PYTHONPATH": str(ROOT)})
    if SYSTEM == "macos":
        run("codesign", "--force", "--deep", "--sign", "-", folder)  # ad hoc: its seal is broken by what was taken out
    if SYSTEM == "linux":
        (folder / "cloudfilm-window").symlink_to("cloudfilm")
        shutil.copy(HERE / "cloudfilm.desktop", folder)
        shutil.copy(WORK / "icon" / "cloudfilm.png", folder)
    for name in ("LICENSE", "README.md", "README.zh-CN.md", "docs/licences.md"):
        shutil.copy(ROOT / name, folder / Path(name).name if SYSTEM != "macos" else folder / "Contents" / "Resources")
    return folder


def bill_of_materials(folder: Path) -> Path:
    """What the package is made of, as CycloneDX: the Python packages, and the programs and libraries beside them."""
    target = OUT / f"{NAME}.cdx.json"
    tool = environment("bill", "cyclonedx-bom>=7")
    run(tool, "-m", "cyclonedx_py", "environment", python_of(WORK / "frozen"), "--output-format", "JSON", "-o", target)
    bill = json.loads(target.read_text(encoding="utf-8"))
    node = next(folder.rglob("driver/node*"))
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")
    more = (
        ("platform", "CPython", platform.python_version(), "PSF-2.0"),
        ("platform", "Node.js", version, "MIT"),
        ("library", "zbar", "", "LGPL-2.1-or-later"),
    )
    for kind, name, its_version, licence in more:
        row = {"type": kind, "name": name, "licenses": [{"license": {"id": licence}}]}
        bill["components"].append(row | ({"version": its_version} if its_version else {}))
    target.write_text(json.dumps(bill, indent=1), encoding="utf-8")
    return target


def pack(folder: Path) -> Path:
    """One file of the folder."""
    if SYSTEM == "linux":
        target = OUT / f"{NAME}.tar.gz"
        with tarfile.open(target, "w:gz", compresslevel=6) as archive:
            archive.add(folder, arcname=NAME)
        return target
    target = OUT / f"{NAME}.zip"
    if SYSTEM == "macos":  # keeps links and rights
        run("ditto", "-c", "-k", "--keepParent", folder, target)
        return target
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(NAME) / path.relative_to(folder))
    return target


def megabytes(folder: Path) -> float:
    """What lies in it."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def heaviest(folder: Path) -> list[tuple[str, float]]:
    """The parts that weigh most: name and MB."""
    parts = {path.name: megabytes(path) if path.is_dir() else path.stat().st_size / 1e6 for path in folder.iterdir()}
    return sorted(parts.items(), key=lambda part: -part[1])[:14]


def main() -> int:
    """Build, pack and try; the smoke test's exit code."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--keep", action="store_true", help="Pack and try what was frozen before.")
    arguments.add_argument("--no-smoke", action="store_true", help="Do not try it.")
    chosen = arguments.parse_args()
    OUT.mkdir(exist_ok=True)
    folder = WORK / "made" / ("cloudfilm.app" if SYSTEM == "macos" else "cloudfilm")
    if not chosen.keep or not folder.is_dir():
        folder = freeze()
    packed = pack(folder)
    made = [packed, bill_of_materials(folder)]
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made)
    (OUT / f"{NAME}.sha256").write_text(sums, encoding="utf-8")
    inside = folder / ("Contents/Frameworks" if SYSTEM == "macos" else "_internal")
    for name, size in heaviest(inside):
        print(f"{size:8.1f} MB  {name}")
    print(
        f"{megabytes(folder):8.1f} MB  unpacked; {packed.stat().st_size / 1e6:.1f} MB  {packed.relative_to(ROOT)}",
        flush=True,
    )
    if chosen.no_smoke:
        return 0
    return subprocess.run([sys.executable, str(HERE / "smoke.py"), str(packed)], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
