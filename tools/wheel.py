"""Install the wheel of ``dist/`` into an empty environment, and run the demonstration with it: ``python -m tools.wheel``."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "build" / "wheel" / "environment"
STUDIES = ROOT / "build" / "wheel" / "studies"


def main() -> int:
    """Return the exit code of the first step that failed, or 0."""
    wheels = sorted((ROOT / "dist").glob("cloudfilm-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        sys.exit("there is no wheel in dist/; `make dist` builds it")
    shutil.rmtree(ENVIRONMENT.parent, ignore_errors=True)
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    uv = [sys.executable, "-m", "uv", "-q"]
    program = shlex.join([str(python), "-P", "-m", "cloudfilm"])  # -P: not this tree's own cloudfilm
    steps = (
        [*uv, "venv", "--python", sys.executable, str(ENVIRONMENT)],
        [*uv, "pip", "install", "--python", str(python), str(wheels[-1])],
        [sys.executable, "-m", "fixtures.demo", "-o", str(STUDIES), "--program", program],
    )
    for step in steps:
        code = subprocess.run(step, cwd=ROOT, check=False).returncode
        if code:
            return code
    print("The wheel works in an environment of its own.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
