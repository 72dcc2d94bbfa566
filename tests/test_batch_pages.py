"""The pages to look at behind the rows of a batch's report: written for a few studies, for all, or for none."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from scraper.batch.report import table
from scraper.cli.window import PageBound
from scraper.export.view import missing_pages
from tests.many import Many
from tests.test_batch import batch, listed
from tests.test_cli import up


def pages(output):
    return sorted(output.glob("*/index.html"))


def test_each_study_gets_a_page_that_the_report_opens(tmp_path):
    many = Many(2)
    links = listed(tmp_path, many.link(0), many.link(1))
    with up(many):
        scripted = batch(many, links, tmp_path / "scripted", "--json")
        none = batch(many, links, tmp_path / "none", "--no-pages")
        done = batch(many, links, tmp_path / "out")
    assert scripted.returncode == none.returncode == done.returncode == 0, done.stderr
    assert pages(tmp_path / "scripted") == pages(tmp_path / "none") == []
    found = pages(tmp_path / "out")
    assert len(found) == 2
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert report.count("/index.html") == 2
    assert missing_pages(tmp_path / "out") == []
    found[0].unlink()
    assert missing_pages(tmp_path / "out") == [found[0].with_name("study.json")]
    assert missing_pages(tmp_path / "out", since=found[1].stat().st_mtime + 60) == []


@pytest.mark.parametrize(
    "bound, count",
    [(PageBound(20, 1 << 30), 3), (PageBound(2, 1 << 30), 2), (PageBound(20, 2500), 2), (PageBound(20, 10), 0)],
)
def test_many_or_large_ones_get_none_by_default(tmp_path, bound, count):
    reports = []
    for number in range(3):
        series = tmp_path / f"study-{number}" / "001_series"
        series.mkdir(parents=True)
        (series / "00001.dcm").write_bytes(bytes(1000))
        reports.append(series.parent / "study.json")
        reports[-1].write_text("{}")
    assert bound.of(reports) == reports[:count]


def test_two_processes_write_their_reports_at_the_same_moment(tmp_path):
    meeting = Barrier(8)

    def write(name: str) -> None:
        table.write(tmp_path / "report.html", pieces(name))

    def pieces(name: str) -> Iterator[str]:
        yield name * 1000
        meeting.wait(60)
        yield name

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write, name) for name in "abcdefgh"]:
            done.result()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() in {name * 1001 for name in "abcdefgh"}
