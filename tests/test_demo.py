"""The embedded hospital, as ``make demo`` runs it: a photo in, a verified study on disk out, through a real browser."""

import json
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from scraper.core.settings import Settings
from scraper.source import film_codes

ROOT = Path(__file__).parent.parent


def test_the_photograph_holds_the_hospitals_link():
    found = film_codes.decode(ROOT / "fixtures" / "report.jpg", Settings())
    assert found.link is not None
    assert found.link.startswith("https://ylyyx.shdc.org.cn/code.html?")
    assert any("weixin" in code.text for code, _ in found.codes) or found.link


@pytest.mark.thorough
def test_the_demo_ends_with_a_verified_study(tmp_path):
    words = [sys.executable, "-m", "fixtures.demo", "-o", str(tmp_path / "out")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = (tmp_path / "out").glob("*/study.json")
    document = json.loads(report.read_text(encoding="utf-8"))
    assert document["status"] == "complete"
    assert document["via"] == "browser"
    assert str(report.parent) in done.stdout.replace("\n", "")
    files = sorted(report.parent.rglob("*.dcm"))
    assert len(files) == document["instances"]["saved"] == 43
    assert {str(pydicom.dcmread(path, stop_before_pixels=True).Modality) for path in files} == {"CT", "SR"}
