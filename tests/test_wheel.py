"""The wheel, built from this tree and installed in an empty virtual environment, away from the tree."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import scraper
from scraper.testing import first_of

ROOT = Path(__file__).resolve().parent.parent
UV = (sys.executable, "-m", "uv", "-q")


def run(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True, encoding="utf-8", check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    built = run(*UV, "build", "--wheel", "--no-build-isolation", "--out-dir", out, ROOT, cwd=out)
    assert built.returncode == 0, built.stderr
    return next(out.glob("cloudfilm-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of programs of an environment that holds the wheel and what it depends on; nothing else."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    made = run(*UV, "venv", "--python", sys.executable, venv, cwd=venv.parent)
    assert made.returncode == 0, made.stderr
    programs = venv / ("Scripts" if os.name == "nt" else "bin")
    install = (*UV, "pip", "install", "--python", programs / "python")
    done = run(*install, "--offline", wheel, cwd=venv.parent)
    if done.returncode:  # the cache does not hold everything
        done = run(*install, wheel, cwd=venv.parent)
    assert done.returncode == 0, done.stderr
    return programs


def test_what_is_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"cloudfilm", "scraper", "providers"}
    assert {"scraper/core/messages.toml", "scraper/py.typed", "providers/py.typed", "cloudfilm/py.typed"} <= set(names)
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    here = {
        path.relative_to(ROOT).as_posix()
        for top in ("cloudfilm", "scraper", "providers")
        for path in (ROOT / top).rglob("*.py")
    }
    assert here <= set(names)


@pytest.mark.parametrize("arguments", first_of([["doctor", "--json"], ["--help"], ["providers"]]), ids=" ".join)
def test_it_runs_from_anywhere(installed, tmp_path, arguments):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = run(installed / "cloudfilm", *arguments, cwd=tmp_path, env={**clean, "CLOUDFILM_DATA": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if "--json" in arguments:
        found = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
        assert found["cloudfilm"]["found"] == scraper.__version__
        assert found["zxing-cpp"]["ok"]
