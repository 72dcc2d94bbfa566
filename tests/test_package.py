"""The package without Python, built here and tried as a stranger finds it; `make package` does the same."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.soak
def test_the_package_of_this_system_works_without_python():
    done = subprocess.run([sys.executable, "packaging/build.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The package works." in done.stdout
