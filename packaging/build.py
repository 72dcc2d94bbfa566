"""``python packaging/build.py``: pack the program, start it in a clean folder without Python, and print its size and start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]+/")
LARGEST_MB = 350
START_S = 60.0


def build() -> Path:
    """Pack; the folder that was made."""
    where = ["--distpath", str(ROOT / "dist"), "--workpath", str(ROOT / "build")]
    subprocess.run([sys.executable, "-m", "PyInstaller", "--noconfirm", *where, "cloudfilm.spec"], cwd=HERE, check=True)
    return ROOT / "dist" / "cloudfilm"


def try_out(folder: Path) -> None:
    """Read a photo's codes, and open the window, with nothing of this environment."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
    program = folder / ("cloudfilm.exe" if sys.platform == "win32" else "cloudfilm")
    with tempfile.TemporaryDirectory() as home:
        clean = {"HOME": home, "CLOUDFILM_DATA": home, "PATH": "", "LANG": "zh_CN.UTF-8"}
        clean |= {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
        photo = ROOT / "fixtures" / "report.jpg"
        words = [str(program), "decode", str(photo), "--json"]
        read = subprocess.run(words, cwd=home, env=clean, capture_output=True, text=True, timeout=120, check=True)
        if '"kind": "film-link"' not in read.stdout:
            raise SystemExit(f"no film link read: {read.stdout} {read.stderr}")
        began = time.monotonic()
        words = [str(program), "app", "--no-window", "-o", home]
        with subprocess.Popen(words, cwd=home, env=clean, stdout=subprocess.PIPE, text=True) as process:
            try:
                found = ADDRESS.search(process.stdout.readline() if process.stdout else "")
                took = time.monotonic() - began
                if found is None:
                    raise SystemExit("the window did not start")
                with urllib.request.urlopen(found[0], timeout=START_S) as page:
                    if b"cloudfilm" not in page.read():
                        raise SystemExit("the window's page is not there")
            finally:
                process.terminate()
    print(f"{folder}: {size:.0f} MB (goal: {LARGEST_MB}), the window's address after {took:.1f} s")


if __name__ == "__main__":
    try_out(Path(sys.argv[1]) if len(sys.argv) > 1 else build())
