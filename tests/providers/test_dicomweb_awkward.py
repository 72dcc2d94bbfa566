"""dicomweb: services that cap their lists, refuse files, break off, or write one object where a list is meant."""

from __future__ import annotations

from io import BytesIO, StringIO

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from rich.console import Console

from fixtures.dicom import chest_ct
from fixtures.sites.dicomweb.awkward import AwkwardService, Manners
from fixtures.world import World
from providers.dicomweb.provider import DicomWeb
from scraper.core.errors import ExitCode, NotOriginalDicom
from scraper.core.messages import merge_equal, without_addresses, words_of
from scraper.core.model import Origin, Problem, Result
from scraper.core.settings import Language
from scraper.protocols import wado_rs
from scraper.testing import Case, first_of, run
from scraper.ui.report import show

STUDY = chest_ct(slices=14, thin=3, size=32, seed=161)
IMAGES = len(STUDY.images)
ALL = len(STUDY.instances)
LISTS = ("instances", "study", "metadata")


async def grabbed(service: AwkwardService, tmp_path) -> Result:
    with World(service) as world:
        result = await run(DicomWeb, Case("awkward", service.link), world, tmp_path)
        assert world.unexpected == []
    return result


def reasons(result: Result) -> list[str]:
    problems = [p for study in result.studies for series in study.series for p in series.problems]
    problems += [p for study in result.studies for p in study.problems]
    return [
        str(words_of(problem.values.get("why"), Language.EN)) for problem in problems if problem.code == "fetch-failed"
    ]


# ---- 11: lists that are capped


@pytest.mark.parametrize(
    "manners",
    first_of(
        [
            Manners(cap=5),
            Manners(cap=5, pages=True),
            Manners(cap=5, counts=False),
            Manners(cap=5, capped=("instances", "study")),
            Manners(cap=5, capped=("instances", "study"), counts=False),
            Manners(cap=5, refuses=("study",)),
            Manners(cap=5, capped=(*LISTS[:1], "metadata")),
            Manners(cap=1, capped=("series",)),
            Manners(cap=1, capped=("series",), counts=False),
            Manners(cap=2, capped=("series", "series-search")),
            Manners(refuses=("series",)),
            Manners(refuses=("instances", "metadata")),
        ],
        2,
    ),
    ids=str,
)
async def test_verdicts_11_what_a_capped_list_leaves_out_is_found_elsewhere(manners, tmp_path):
    result = await grabbed(AwkwardService(STUDY, manners), tmp_path)
    assert (result.exit_code, result.counts.saved, result.counts.expected) == (ExitCode.COMPLETE, ALL, ALL)


@pytest.mark.parametrize(
    "manners",
    first_of(
        [
            Manners(cap=5, capped=LISTS),
            Manners(cap=5, capped=LISTS, pages=True),
            Manners(cap=5, refuses=("study", "metadata")),
            Manners(cap=5, capped=("instances", "study"), refuses=("metadata",), pages=True),
            Manners(hides=5),
        ]
    ),
    ids=str,
)
async def test_verdicts_11_what_stays_short_of_the_count_is_incomplete(manners, tmp_path):
    result = await grabbed(AwkwardService(STUDY, manners), tmp_path)
    assert result.exit_code == ExitCode.INCOMPLETE
    assert result.counts.saved < result.counts.expected


async def test_verdicts_11_a_study_that_counts_more_than_its_series_hold_is_incomplete(tmp_path):
    manners = Manners(pages=True, counts=False, counts_study=True, hides=9)
    result = await grabbed(AwkwardService(STUDY, manners), tmp_path)
    assert (result.exit_code, result.counts.saved) == (ExitCode.INCOMPLETE, ALL)


async def test_verdicts_11_one_hidden_object_of_a_whole_list_is_said_and_no_loss(tmp_path):
    result = await grabbed(AwkwardService(STUDY, Manners(pages=True, hides=1)), tmp_path)
    assert result.exit_code == ExitCode.COMPLETE
    codes = {p.code for study in result.studies for series in study.series for p in series.problems}
    assert "counted-not-listed" in codes


async def test_verdicts_11_a_lone_object_is_a_list_of_one(tmp_path):
    study = chest_ct(slices=1, localizers=0, size=32, seed=162, dose_report=False)
    result = await grabbed(AwkwardService(study, Manners(lone=True)), tmp_path)
    assert (result.exit_code, result.counts.saved) == (ExitCode.COMPLETE, len(study.instances))


# ---- 12: answers that bring a part


def many_frames(count: int = 40):
    """A study of one image of many frames."""
    study = chest_ct(slices=1, localizers=0, thin=0, size=16, seed=163, dose_report=False)
    [instance] = study.instances
    ds = dcmread(BytesIO(instance.data))
    ds.NumberOfFrames = count
    ds.PixelData = b"".join(
        (np.frombuffer(ds.PixelData, "<u2") % 4000 + number).astype("<u2").tobytes() for number in range(count)
    )
    out = BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return study.with_data(instance.sop_instance_uid, out.getvalue())


@pytest.mark.parametrize("breaks_off", first_of(["cut", "206"]))
@pytest.mark.parametrize("named", first_of([True, False]), ids=["named", "unnamed"])
async def test_verdicts_12_frames_that_came_are_used_and_the_rest_asked_for_singly(breaks_off, named, tmp_path):
    study = many_frames()
    manners = Manners(refuses=("file",), breaks_off=breaks_off, named=named)
    service = AwkwardService(study, manners)
    result = await grabbed(service, tmp_path)
    [path] = tmp_path.rglob("*.dcm")
    assert dcmread(path).PixelData == dcmread(BytesIO(study.instances[0].data)).PixelData
    assert result.counts.saved == 1
    if breaks_off == "cut":  # of sixteen some ten come at a time
        assert service.asked.count("frames") < 40


@pytest.mark.parametrize("breaks_off", first_of(["file", "file 206"]))
async def test_verdicts_12_a_file_that_always_breaks_off_is_taken_from_its_frames(breaks_off, tmp_path):
    study = chest_ct(slices=2, localizers=0, size=32, seed=167)
    result = await grabbed(AwkwardService(study, Manners(breaks_off=breaks_off)), tmp_path)
    assert (result.exit_code, result.counts.saved) == (ExitCode.COMPLETE, len(study.instances))
    origins = {series.modality: series.origin for series in result.studies[0].series}
    assert origins == {"CT": Origin.REBUILT, "SR": Origin.ORIGINAL}


# ---- 13: files that are refused


@pytest.mark.parametrize("whole", ["SR", "CT"])
async def test_verdicts_13_an_object_that_only_comes_whole_is_fetched_as_an_instance(whole, tmp_path):
    manners = Manners(refuses=("file",), whole=(whole,))
    result = await grabbed(AwkwardService(STUDY, manners), tmp_path)
    saved = {series.modality: series for series in result.studies[0].series if series.saved}
    assert saved["CT"].saved
    if whole == "SR":
        assert (result.exit_code, result.counts.saved) == (ExitCode.COMPLETE, ALL)
        assert (saved["SR"].origin, saved["CT"].origin) == (Origin.ORIGINAL, Origin.REBUILT)
    else:
        assert result.counts.saved == IMAGES


async def test_verdicts_13_pictures_alone_are_no_originals(tmp_path):
    manners = Manners(refuses=("file", "frames"), renders=True)
    images = chest_ct(slices=4, size=32, seed=164, dose_report=False)
    result = await grabbed(AwkwardService(images, manners), tmp_path)
    assert result.exit_code == ExitCode.NOT_ORIGINAL
    assert isinstance(result.error, NotOriginalDicom)


async def test_verdicts_13_pictures_beside_a_file_are_a_loss(tmp_path):
    manners = Manners(refuses=("file", "frames"), renders=True, whole=("SR",))
    result = await grabbed(AwkwardService(STUDY, manners), tmp_path)
    assert (result.exit_code, result.counts.saved) == (ExitCode.INCOMPLETE, ALL - IMAGES)


# ---- 20: metadata of static creators, and problems that are equal


@pytest.mark.thorough
async def test_verdicts_20_metadata_of_one_object_is_read(tmp_path):
    manners = Manners(refuses=("file",), whole=("SR",), lone=True)
    result = await grabbed(AwkwardService(STUDY, manners), tmp_path)
    assert (result.exit_code, result.counts.saved) == (ExitCode.COMPLETE, ALL)


async def test_verdicts_20_metadata_that_is_here_is_not_asked_for_again(tmp_path):
    manners = Manners(refuses=("file", "instance-metadata"), whole=("SR",))
    service = AwkwardService(STUDY, manners)
    result = await grabbed(service, tmp_path)
    assert result.counts.saved == ALL
    assert service.asked.count("metadata") == len([series for series in STUDY.series if series.images])
    assert service.asked.count("instance-metadata") < IMAGES


async def test_verdicts_20_metadata_that_the_listing_brought_is_not_asked_for_again(tmp_path):
    service = AwkwardService(STUDY, Manners(refuses=("file", "instances"), whole=("SR",)))
    result = await grabbed(service, tmp_path)
    assert result.counts.saved == ALL
    assert service.asked.count("metadata") == len(STUDY.series)
    assert service.asked.count("instance-metadata") == 0


async def test_verdicts_20_equal_problems_are_one_with_a_count(tmp_path):
    manners = Manners(refuses=("file",), whole=("SR",), changed={"00280010": {"vr": "US", "Value": ["many"]}})
    result = await grabbed(AwkwardService(STUDY, manners), tmp_path)
    assert result.exit_code == ExitCode.INCOMPLETE
    assert len(set(reasons(result))) == 1
    assert not any(part in reasons(result)[0] for part in ("/", "1.2."))
    shown = StringIO()
    console = Console(file=shown, width=500)
    show(result, console, console, Language.EN)
    assert shown.getvalue().count(reasons(result)[0]) == 1
    assert f"{IMAGES} instances" in shown.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/rs/studies/1.2.3.4.5.6/metadata gives no JSON", "…/metadata gives no JSON"),
        ("https://a.test/x?y=1 is away", "… is away"),
        ("C-GET 0xA702: it could not send them", "C-GET 0xA702: it could not send them"),
        ("HTTP 404", "HTTP 404"),
        ("16/32 samples, and/or less", "16/32 samples, and/or less"),
    ],
)
def test_verdicts_20_reasons_lose_the_addresses_that_tell_them_apart(text, shown):
    assert without_addresses(text) == shown


def test_verdicts_20_equal_problems_without_instances_are_counted():
    problem = Problem("count-unknown", fatal=False)
    assert merge_equal([problem, problem, Problem("count-unknown")]) == [(problem, 2), (Problem("count-unknown"), 1)]


# ---- numbers of a hostile list


@pytest.mark.parametrize(
    "frames", first_of([10**9, "1000000000", "abc", "frames text", -1, [1], {"a": 1}, True, 1e300])
)
async def test_hostile_7_frames_are_a_number_and_never_an_allocation(frames, tmp_path):
    manners = Manners(
        refuses=("file",),
        whole=("SR",),
        changed={"00280008": {"vr": "IS", "Value": [frames]}},
        rows={"00280008": {"vr": "IS", "Value": [frames]}},
    )
    study = chest_ct(slices=2, localizers=0, size=32, seed=165)
    result = await grabbed(AwkwardService(study, manners), tmp_path)
    assert result.exit_code == ExitCode.INCOMPLETE
    [why] = reasons(result)
    assert "number" in why or "Number" in why


@pytest.mark.parametrize("tag", first_of(["00280010", "00280100", "0020000D", "00200032"]))
@pytest.mark.parametrize("value", first_of([None, "abc", 10**30, -5, {}, "1" * 5000]), ids=lambda v: str(v)[:12])
async def test_hostile_10_an_element_of_any_shape_is_no_crash(tag, value, tmp_path):
    study = chest_ct(slices=1, localizers=0, size=32, seed=166, dose_report=False)
    manners = Manners(refuses=("file",), changed={tag: {"vr": "UN", "Value": [value]}})
    result = await grabbed(AwkwardService(study, manners), tmp_path)
    assert result.exit_code != ExitCode.BUG


ODD = (
    None,
    "abc",
    7,
    [],
    {},
    {"Value": None},
    {"Value": "x"},
    {"Value": [None]},
    {"Value": [[]]},
    {"Value": [10**400]},
)


@pytest.mark.parametrize("tag", first_of(["0020000D", "0020000E", "00080018", "00201209", "00200011", "00100010"]))
async def test_hostile_10_a_row_of_any_shape_is_no_crash(tag, tmp_path):
    study = chest_ct(slices=1, localizers=0, size=32, seed=168, dose_report=False)
    service = AwkwardService(study, Manners())
    with World(service) as world:
        for odd in ODD:
            service.manners = Manners(rows={tag: odd})
            folder = tmp_path / str(ODD.index(odd))
            result = await run(DicomWeb, Case("odd", service.link), world, folder)
            assert result.exit_code in (*range(5, 10), ExitCode.COMPLETE), (odd, result.error)


def test_hostile_7_a_list_of_frames_has_a_bound():
    assert wado_rs.MAX_FRAMES <= 20_000
