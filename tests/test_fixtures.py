"""The synthetic studies are what they claim to be, and what is started for a test ends with it."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import threading
from io import BytesIO

import numpy as np
import psutil
import pydicom
import pytest

from fixtures import orthanc
from fixtures.dicom import IMPLICIT, JPEG_2000, JPEG_LS, NATIVE, chest_ct, retagged, truncated
from fixtures.orthanc import Orthanc
from fixtures.sites.shdc.site import ShdcSite
from fixtures.world import World, hosts

SYNTAXES = (NATIVE, IMPLICIT, JPEG_LS, JPEG_2000)
STUDY = chest_ct(slices=5, thin=4, size=64, seed=3)


def digest(study):
    return hashlib.sha256(b"".join(instance.data for instance in study.instances)).hexdigest()


def test_the_same_seed_gives_the_same_bytes():
    first = digest(chest_ct(slices=3, size=32, seed=5))
    chest_ct.cache_clear()
    assert digest(chest_ct(slices=3, size=32, seed=5)) == first
    assert digest(chest_ct(slices=3, size=32, seed=6)) != first


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pixels_survive_every_transfer_syntax(syntax, signed):
    study = chest_ct(slices=3, thin=2, size=64, seed=4, syntax=syntax, thin_syntax=syntax, signed=signed)
    for instance in study.images:
        ds = pydicom.dcmread(BytesIO(instance.data))
        assert ds.file_meta.TransferSyntaxUID == syntax
        assert np.array_equal(ds.pixel_array, instance.pixels)
        assert ds.PixelRepresentation == (instance.pixels.dtype == np.int16)
    assert (study.series[1].images[0].pixels.dtype == np.int16) is signed


@pytest.mark.parametrize(("charset", "codec"), [("GB18030", "gb18030"), ("ISO_IR 192", "utf-8")])
def test_chinese_names_are_written_in_the_declared_character_set(charset, codec):
    study = chest_ct(slices=1, size=32, seed=8, charset=charset)
    for instance in study.instances:
        assert "测试^甲".encode(codec) in instance.data
        assert str(instance.tags.PatientName) == "测试^甲"


def test_a_study_is_one_study_with_real_geometry():
    assert [series.number for series in STUDY.series] == [1, 2, 3, 999]
    assert {instance.tags.StudyInstanceUID for instance in STUDY.instances} == {STUDY.study_instance_uid}
    assert len(STUDY.by_uid) == len(STUDY.instances) == 2 + 5 + 4 + 1
    localizer, axial, oblique, dose = STUDY.series
    assert dose.modality == "SR"
    assert not dose.images
    assert localizer.images[0].pixels.shape != axial.images[0].pixels.shape
    for series, step in ((axial, 5.0), (oblique, 1.25)):
        tags = [instance.tags for instance in series.instances]
        cosines = np.array(tags[0].ImageOrientationPatient, float)
        normal = np.cross(cosines[:3], cosines[3:])
        along = [float(np.dot(normal, np.array(tag.ImagePositionPatient, float))) for tag in tags]
        assert np.allclose(np.abs(np.diff(along)), step, atol=1e-3)
        assert [tag.InstanceNumber for tag in tags] == list(range(1, len(tags) + 1))


def test_a_study_can_be_broken():
    series = STUDY.series[1]
    absent, cut, *_ = (instance.sop_instance_uid for instance in series.instances)
    broken = STUDY.without(absent).with_data(cut, truncated(series.instances[1]))
    assert len(broken.instances) == len(STUDY.instances) - 1
    assert absent not in broken.by_uid
    assert STUDY.by_uid[cut].data.startswith(broken.by_uid[cut].data)
    assert broken.by_uid[cut].data != STUDY.by_uid[cut].data
    another = pydicom.dcmread(BytesIO(retagged(series.instances[0], StudyInstanceUID="1.2.3", Rows=8)))
    assert (another.StudyInstanceUID, another.Rows) == ("1.2.3", 8)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
@pytest.mark.parametrize("place", range(4), ids=["localizer", "axial", "oblique", "dose report"])
def test_another_hands_validator_finds_no_error(place, tmp_path):
    path = tmp_path / "one.dcm"
    path.write_bytes(STUDY.series[place].instances[0].data)
    output = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, errors="replace")
    assert "Error" not in output.stdout + output.stderr


def test_a_world_leaves_neither_threads_nor_ports_behind():
    before = set(threading.enumerate())
    with World(ShdcSite()) as world:
        (port,) = hosts(world.connect_to).values()
        assert world.connect_to == [f"ylyyx.shdc.org.cn:443:127.0.0.1:{port}"]
        assert b"BEGIN CERTIFICATE" in world.ca_pem
    assert set(threading.enumerate()) == before
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.skipif(bool(orthanc.MISSING), reason=orthanc.MISSING)
def test_orthanc_takes_files_and_ends():
    with Orthanc() as running:
        running.upload(instance.data for instance in STUDY.instances)
        with pytest.raises(RuntimeError, match="refused"):
            running.upload([b"no DICOM"])
        children = [child for child in psutil.Process().children() if "Orthanc" in child.name()]
        assert children
    assert not any(child.is_running() for child in children)
