"""Row 5: what a site or a file says neither leaves its place in a page of ours nor ends the page."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scraper.app.server import JSONResponse, Window
from scraper.core.settings import Settings
from scraper.viewer.page import as_json

TEXTS = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\u2028alert(1)\u2029",
    "a\ud800b\udfff",
    "\x1b]52;c;aGk=\x07",
    "data: x\n\nevent: close\r\rid: 1",
    '"}; alert(1); //',
    "\0",
)


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_5_no_text_leaves_the_script_that_holds_it(text):
    written = as_json({"patient": text, text: [text]})
    assert re.search(r"[<\u2028\u2029\ud800-\udfff\n\r]", written) is None
    assert json.loads(written)["patient"] == re.sub("[\ud800-\udfff]", "\ufffd", text)
    written.encode()


@pytest.mark.parametrize("text", TEXTS)
async def test_hostile_5_no_text_ends_the_windows_reports(text, tmp_path: Path):
    """The page hears of everything by one stream of lines: a series of that name, and a study, must not end it."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.json").write_text(json.dumps({"study": {"patient_name": text, "description": text}}), "ascii")
    window = Window(Settings(output=tmp_path), tmp_path, cast("Any", SimpleNamespace()))
    window.board.add(text, "x")
    reports = window._reports()
    report = await anext(reports)
    await reports.aclose()
    assert report.startswith("data: {")
    assert report.endswith("}\n\n")
    assert re.search(r"[\r\n]", report[:-2]) is None
    sent = json.loads(report.encode().decode()[len("data: ") :])
    assert sent["studies"][0]["patient"] == re.sub("[\ud800-\udfff]", "\ufffd", text)
    assert JSONResponse({"description": text}).body.decode()
