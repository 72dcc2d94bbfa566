"""The pages to look at behind the rows of a batch's report: written for a few studies, for all, or for none."""

import pytest

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
