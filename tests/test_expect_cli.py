"""--expect and study.json over several runs, as a user's script sees them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from threading import Thread

import pytest

from fixtures.dicom import SyntheticStudy, chest_ct
from scraper.batch.input import rows as inputs
from scraper.batch.report import page as report_page
from scraper.batch.report.table import Entry
from scraper.batch.workers.protocol import Outcome
from scraper.core.settings import Language
from tests import aurora
from tests.aurora import Fault
from tests.test_cli import cloudfilm, documents, grab, site_of, up


@pytest.fixture(scope="module")
def study() -> SyntheticStudy:
    return chest_ct(slices=10, size=64, seed=7)  # 2 localizers, 10 images, a dose report


def codes(document: dict) -> set[str]:
    rows = [item for row in document["series"] for item in row["problems"]]
    return {item["code"] for item in (*document["problems"], *rows)}


def saved_report(folder: Path) -> dict:
    (path,) = folder.rglob("study.json")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("expect", "code", "problem"),
    [(13, 0, None), (12, 0, None), (14, 7, "expect-unmet"), (5, 0, "expect-differs")],
    ids=["instances", "images", "more than the list", "less than the list"],
)
def test_verdicts_1_a_list_and_a_person(study, expect, code, problem, tmp_path):
    with up(site_of(study)) as site:
        done = grab(site, aurora.LINK, "-o", tmp_path, "--json", "--expect", expect)
    (document,) = documents(done)
    assert (done.returncode, document["exit_code"]) == (code, code)
    assert {"expect-unmet", "expect-differs"} & codes(document) == ({problem} if problem else set())
    report = saved_report(tmp_path)
    assert (report["status"], report["exit_code"]) == (document["status"], code)
    assert len(report["instances_saved"]) == 13
    if code:  # the next run is judged by it, too
        with up(site_of(study)) as site:
            again = grab(site, aurora.LINK, "-o", tmp_path, "--json")
        assert again.returncode == 0  # the site's own list is stronger than a person's count


def test_verdicts_1_expect_is_a_number_above_zero(study, tmp_path):
    assert cloudfilm("grab", aurora.LINK, "--expect", "0").returncode == 2
    assert cloudfilm("grab", aurora.LINK, "--expect", "viele").returncode == 2


def test_verdicts_1_list_says_where_the_count_differs(study):
    with up(site_of(study)) as site:
        words = ("list", aurora.LINK, "--json", "--browser", "never", "--connect-to", site.connect_to[0])
        same, other = cloudfilm(*words, "--expect", 13), cloudfilm(*words, "--expect", 14)
    assert "expect-announced" not in codes(documents(same)[0])
    assert "expect-announced" in codes(documents(other)[0])
    assert (same.returncode, other.returncode) == (0, 0)


def test_verdicts_1_expect_of_the_series_asked_for(study, tmp_path):
    with up(site_of(study)) as site:
        done = grab(site, aurora.LINK, "-o", tmp_path, "--series", "2", "--expect", 10, "--json")
    assert (done.returncode, documents(done)[0]["instances"]["saved"]) == (0, 10)


def test_verdicts_2_a_run_for_one_series_takes_nothing_back(study, tmp_path):
    lost = study.series[1].instances[4].sop_instance_uid
    with up(site_of(study).fail(lost, *[Fault.GONE_404] * 4)) as site:
        assert grab(site, aurora.LINK, "-o", tmp_path, "--json").returncode == 7
        first = saved_report(tmp_path)
        site.faults.clear()
        done = grab(site, aurora.LINK, "-o", tmp_path, "--series", "1", "--json")
    (document,) = documents(done)
    assert (done.returncode, document["instances"]["saved"]) == (0, 2)  # what was asked for is whole
    report = saved_report(tmp_path)
    assert (report["status"], report["instances"]["expected"], report["instances"]["saved"]) == ("incomplete", 13, 12)
    assert {row["sop_instance_uid"] for row in report["instances_saved"]} == {
        row["sop_instance_uid"] for row in first["instances_saved"]
    }
    assert len(list(tmp_path.rglob("*.dcm"))) == 12
    done = cloudfilm("verify", next(tmp_path.rglob("study.json")).parent, "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (7, "incomplete")


def test_verdicts_2_a_site_that_lists_less_is_judged_by_what_was_known(study, tmp_path):
    """The second run's list lacks a series: its files stay, and so does what is known of them."""
    with up(site_of(study)) as site:
        assert grab(site, aurora.LINK, "-o", tmp_path, "--json").returncode == 0
    shorter = site_of(study)
    shorter.series.pop(study.series[0].uid)
    with up(shorter) as site:
        done = grab(site, aurora.LINK, "-o", tmp_path, "--json")
    (document,) = documents(done)
    assert (done.returncode, document["instances"]["saved"]) == (0, 13)
    assert len(saved_report(tmp_path)["instances_saved"]) == 13
    next(tmp_path.rglob("001_*/00001.dcm")).unlink()
    with up(shorter) as site:
        done = grab(site, aurora.LINK, "-o", tmp_path, "--json")
    assert (done.returncode, documents(done)[0]["instances"]["expected"]) == (7, 13)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "l.csv",
            "source,expect\nhttps://film.aurora.test/s/Ab12Cd34,21\nhttps://film.aurora.test/s/Ab12Cd35,\n"
            "https://film.aurora.test/s/Ab12Cd36,many\nhttps://film.aurora.test/s/Ab12Cd37,0\n",
        ),
        (
            "l.jsonl",
            '{"source": "https://film.aurora.test/s/Ab12Cd34", "expect": 21}\n'
            '{"source": "https://film.aurora.test/s/Ab12Cd35"}\n'
            '{"source": "https://film.aurora.test/s/Ab12Cd36", "expect": true}\n'
            '{"source": "https://film.aurora.test/s/Ab12Cd37", "expect": -3}\n',
        ),
    ],
    ids=["csv", "jsonl"],
)
def test_verdicts_1_a_column_says_how_many_there_are(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    listing = inputs.read(tmp_path / name)
    assert [row.expect for row in listing.rows] == [21, None]
    assert [refused.why for refused in listing.refused] == ["no-expect", "no-expect"]


def test_verdicts_1_a_batch_counts_by_its_column(study, tmp_path):
    with up(site_of(study)) as site:
        links = tmp_path / "links.csv"
        links.write_text(f"source,expect\n{aurora.LINK},14\n")
        words = (
            "batch",
            links,
            "-o",
            tmp_path / "out",
            "--browser",
            "never",
            "--json",
            "--connect-to",
            site.connect_to[0],
        )
        done = cloudfilm(*words)
        assert (done.returncode, json.loads(done.stdout)["status"]) == (7, "incomplete")
        links.write_text(f"source,expect\n{aurora.LINK},13\n")
        done = cloudfilm(*words)
        assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "complete")
        links.write_text(f"source,expect\n{aurora.LINK},99\n")  # what is done is looked at again
        assert cloudfilm(*words).returncode == 7


@pytest.mark.parametrize("language", list(Language))
def test_verdicts_1_only_seen_is_amber_in_the_report(language):
    problem = {"code": "judged-by-sight", "message": "收到 1 幅", "instances": []}
    row = {
        "uid": "1.2",
        "number": 1,
        "description": "",
        "modality": "CT",
        "expected": None,
        "saved": 1,
        "origin": "original",
        "status": "incomplete",
        "problems": [problem],
    }
    study = {"uid": "1", "date": "", "modality": "", "description": "", "patient_name": ""}
    document = {
        "source": "x",
        "status": "incomplete",
        "exit_code": 7,
        "provider": "universal",
        "series": [row],
        "problems": [],
        "output": None,
        "study": study,
    }
    page = "".join(report_page.page("l", [Entry((1,), "", "x", lambda: Outcome(document))], language))
    assert '<figcaption class="seen">' in page
    assert '<h2 class="incomplete">' in page
    assert "class='state complete'" not in page


@pytest.mark.skipif(os.name == "nt", reason="no such terminal")
def test_verdicts_1_a_person_at_the_terminal_is_asked_how_many(tmp_path, monkeypatch):
    """Asked in the person's language where nobody else counts; what is no number leaves the verdict as it is."""
    from scraper.cli.options import ask_for_count
    from scraper.core.settings import Settings

    assert ask_for_count(Settings(), 3) is None  # nobody sits there
    near, far = os.openpty()
    code = (
        "from scraper.cli.options import ask_for_count; from scraper.core.settings import *;"
        "s = Settings(interactive=True, language=Language.ZH); print([ask_for_count(s, 3) for _ in range(3)])"
    )
    running = subprocess.Popen(
        [__import__("sys").executable, "-c", code], stdin=far, stderr=far, stdout=subprocess.PIPE, text=True
    )
    os.close(far)
    os.write(near, b"21\n\nviele\n")
    lines = []

    def read() -> None:
        try:
            while chunk := os.read(near, 4096):
                lines.append(chunk)
        except OSError:
            pass

    reader = Thread(target=read, daemon=True)
    reader.start()
    assert running.communicate(timeout=600)[0].strip() == "[21, None, None]"
    reader.join(10)
    os.close(near)
    assert "多少幅" in b"".join(lines).decode("utf-8", "replace")
