"""Row 13: a workbook is taken apart in a child process, and one that is none, or too much, is refused."""

import subprocess
import sys
import zipfile

import pytest
from openpyxl import Workbook

from scraper.batch.input import workbook
from scraper.batch.input.text import ListTooLarge, ListUnreadable
from tests.security.memory import MB

READS = """
import sys
from pathlib import Path
from scraper.batch.input import workbook
print([line.text for line in workbook.lines_of(Path(sys.argv[1]))], "openpyxl" in sys.modules)
"""


def test_hostile_13_no_workbook_is_parsed_in_the_program_itself(tmp_path):
    book = Workbook()
    book.active.append(["link", "label"])
    book.save(tmp_path / "list.xlsx")
    done = subprocess.run(
        [sys.executable, "-c", READS, str(tmp_path / "list.xlsx")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "['link,label'] False"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"<" * 1000, ListUnreadable),
        (b"<a>" * 200_000, ListUnreadable),
        (bytes(workbook.MOST_UNPACKED + MB), ListTooLarge),
    ],
    ids=["no XML", "nested", "bomb"],
)
def test_hostile_13_a_workbook_that_is_none_is_refused(data, error, tmp_path):
    path = tmp_path / "list.xlsx"
    book = Workbook()
    book.save(tmp_path / "sound.xlsx")
    with zipfile.ZipFile(tmp_path / "sound.xlsx") as sound, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in sound.namelist():
            made.writestr(name, data if name.startswith("xl/worksheets/") else sound.read(name))
    with pytest.raises(error):
        workbook.lines_of(path)
