"""Row 7: a number in a list is a number, and a list has no more nodes than a study needs: neither takes the memory away."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from providers.kayicloud import StudyReply, described
from scraper.capture.observe import notation
from scraper.capture.observe.received import Observations
from scraper.core.bounded_json import parse_json
from scraper.core.errors import SiteChanged
from scraper.core.link import ShareLink
from scraper.core.schema import at_most, frame_count, read_json
from scraper.core.settings import MAX_FRAMES, MAX_INSTANCES, MAX_JSON_NODES

MB = 1 << 20


@contextmanager
def memory_within(grown: int) -> Iterator[None]:
    """Where the system can tell, what the process holds may not grow past this while the block runs."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    held = psutil.Process().memory_info().data
    resource.setrlimit(resource.RLIMIT_DATA, (held + grown, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.parametrize("piece", [b"[],", b"{},", b'{"a":{}},', b"0,", b"[[[]]],", b'"",', b"[1],"])
def test_hostile_7_a_list_of_small_values_is_refused_before_anything_is_made_of_it(piece):
    body = b"[" + piece * (24 * MB // len(piece)) + b"0]"  # eight million nodes at least
    with memory_within(300 * MB), pytest.raises(SiteChanged):
        read_json(body, "https://a.test/list")


@pytest.mark.thorough
def test_hostile_7_the_largest_list_that_is_read_stays_within_the_bound():
    """The worst per node: an object with one field that is an object."""
    body = b"[" + b'{"a":{}},' * (MAX_JSON_NODES // 3 - 10) + b"0]"
    with memory_within(1000 * MB):
        value = parse_json(body)
    assert len(value) > 1_000_000


def test_hostile_7_a_real_lists_size_is_read():
    rows = [{f"{tag:08X}": {"vr": "LO", "Value": ["x"]} for tag in range(40)} for _ in range(2000)]
    assert len(parse_json(json.dumps(rows))) == 2000


@pytest.mark.parametrize("count", ["1000000000", "99999999999", "100001"])
def test_hostile_7_a_number_of_frames_is_a_number(count):
    image = {"FilePath": "a.dcm", "NumberOfFrames": count}
    study = StudyReply.model_validate({"SeriesList": [{"ImageList": [image], "SeriesNumber": "1"}]})
    with memory_within(200 * MB):
        with pytest.raises(ValueError, match="frames"):
            frame_count(count)
        with pytest.raises(ValueError, match="frames"):
            described(study, ShareLink("https://a.test/x"), {"Authorization": ""})


def test_hostile_7_many_objects_of_many_frames_are_too_many():
    with memory_within(400 * MB), pytest.raises(ValueError, match="more than"):
        at_most((object, frame) for _ in range(10**6) for frame in range(MAX_FRAMES))
    assert len(at_most(iter(range(MAX_INSTANCES)))) == MAX_INSTANCES


@pytest.mark.parametrize("number", ["1000000000", "frames text", "-5", "1e9", "", "\ud800", "2.5", "9" * 5000])
def test_hostile_7_frames_that_a_viewer_lists_are_a_number_too(number, tmp_path: Path):
    catch = Observations(tmp_path)
    catch.tags["1.2"] = {"00280008": {"vr": "IS", "Value": [number]}}
    catch.frames = defaultdict(dict, {"1.2": {2: tmp_path / "a"}})
    with memory_within(100 * MB):
        assert list(catch.whole_frames()) == []


def test_hostile_7_a_text_that_packs_many_values_is_refused():
    with memory_within(400 * MB):
        assert notation.packed("[" + "[]," * (21 * MB // 3) + "0]") is None
