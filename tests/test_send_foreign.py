"""``cloudfilm send`` to what others wrote, and under kills: Storage Commitment by Orthanc, TLS with dcmtk's storescp, kill -9."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from fixtures.archives import free_port
from fixtures.dicom import chest_ct
from fixtures.orthanc import MISSING as ORTHANC_MISSING
from fixtures.orthanc import Orthanc
from scraper.core.errors import ExitCode
from scraper.core.settings import Settings
from tests.test_send import ALL, ROOT, STORESCP, STUDY, SmallArchive, StowService, instances, sent, storescp, uids


@pytest.fixture(autouse=True)
def own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDFILM_DATA", str(tmp_path / "data"))


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "study"
    made.mkdir()
    for number, instance in enumerate(STUDY.instances):
        (made / f"{number:05}.dcm").write_bytes(instance.data)
    return made


@pytest.mark.skipif(bool(ORTHANC_MISSING), reason=ORTHANC_MISSING)
async def test_orthanc_says_what_it_keeps_and_what_it_lost_is_sent_again(folder, tmp_path):
    """Orthanc answers N-ACTION on an association of its own, to the host and port at which it knows this station."""
    lost = ALL[2]
    script = tmp_path / "loses.lua"
    script.write_text(
        f"""function OnStoredInstance(id, tags, metadata)
  if tags["SOPInstanceUID"] == "{lost}" then Delete(id) end
end
"""
    )
    port = free_port()
    station, options = {"CLOUDFILM": ("127.0.0.1", port)}, {"DicomAlwaysAllowStore": True}
    with Orthanc(station, options | {"LuaScripts": [str(script)]}) as orthanc:
        link = f"pacs://ORTHANC@127.0.0.1:{orthanc.dicom_port}?listen={port}"
        result = await sent(folder, link)
        assert (result.exit_code, result.sent, result.committed) == (ExitCode.INCOMPLETE, len(ALL) - 1, len(ALL) - 1), (
            result
        )
        assert [problem.code for problem in result.problems] == ["not-sent"]
        assert [len(problem.instances) for problem in result.problems] == [1]
        again = await sent(folder, link)
        assert (again.before, again.sent, again.committed) == (len(ALL) - 1, 0, 0), again
    with Orthanc(station, options) as orthanc:
        link = f"pacs://ORTHANC@127.0.0.1:{orthanc.dicom_port}?listen={port}"
        whole = await sent(folder, link)
        assert (whole.exit_code, whole.sent, whole.committed) == (ExitCode.COMPLETE, len(ALL), len(ALL)), whole
        silent = await sent(folder, link.partition("?")[0], again=True)  # it answers to a port at which nobody listens
        assert (silent.exit_code, silent.committed) == (ExitCode.COMPLETE, None)
        assert [problem.code for problem in silent.problems] == ["commitment-unanswered"]
        assert instances(orthanc) == ALL


def pem(folder: Path, name: str, authority: trustme.CA, *hosts: str) -> Path:
    path = folder / f"{name}.pem"
    authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.mark.skipif(not STORESCP, reason="dcmtk (storescp) is not installed")
async def test_storescp_over_tls_takes_whom_it_trusts_and_its_refusals_are_named(folder, tmp_path):
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "other-ca.pem")
    theirs, own = pem(tmp_path, "theirs", authority, "127.0.0.1"), pem(tmp_path, "own", authority, "station.test")
    other, elsewhere = pem(tmp_path, "other", stranger, "station.test"), pem(tmp_path, "else", authority, "pacs.test")
    tls, trusted = (
        ("+tls", str(theirs), str(theirs), "+cf", str(tmp_path / "ca.pem"), "+xa"),
        f"ca={tmp_path / 'ca.pem'}",
    )
    stored = tmp_path / "stored"

    async def why(link, **more) -> str:
        result = await sent(folder, link, **more)
        assert (result.exit_code, result.sent) == (ExitCode.SITE, 0), result
        return result.to_dict()["problems"][-1]["message"]

    with storescp(stored, *tls) as link:
        assert "certificate of this computer" in await why(f"{link}?tls=yes&{trusted}")
        assert "certificate of this computer" in await why(f"{link}?tls=yes&{trusted}&cert={other}")
        assert "certificate can't be trusted" in await why(f"{link}?tls=yes&cert={own}&ca={tmp_path / 'other-ca.pem'}")
        assert "certificate can't be trusted" in await why(f"{link}?tls=yes&cert={own}")
        await why(link)  # in the clear
        assert not list(stored.iterdir())
        good = await sent(folder, f"{link}?tls=yes&{trusted}&cert={own}")
        assert (good.exit_code, good.sent) == (ExitCode.COMPLETE, len(ALL))
        assert len(list(stored.iterdir())) == len(ALL)
        broken = Settings(timeout_s=20, insecure=True)
        taken = await sent(folder, f"{link}?tls=yes&cert={own}", settings=broken, again=True)
        assert taken.exit_code == ExitCode.COMPLETE
    with storescp(stored, "+tls", str(elsewhere), str(elsewhere), "+cf", str(tmp_path / "ca.pem"), "+xa") as link:
        assert "another computer's" in await why(f"{link}?tls=yes&{trusted}&cert={own}")
    with storescp(stored, "+xa") as link:
        assert "TLS" in await why(f"{link}?tls=yes&{trusted}&cert={own}")


@pytest.mark.soak
@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_killed_at_random_moments_the_ledger_never_names_what_the_archive_lacks(way, tmp_path):
    """Thirty kills at random; after each, all that the ledger names is there, and in the end each instance is."""
    study = chest_ct(slices=60, size=32, seed=82, dose_report=False)
    folder = tmp_path / "study"
    folder.mkdir()
    for number, instance in enumerate(study.instances):
        (folder / f"{number:05}.dcm").write_bytes(instance.data)
    wanted = sorted(item.sop_instance_uid for item in study.instances)
    chance = random.Random(83)  # noqa: S311  # of a test
    variables = {**os.environ, "CLOUDFILM_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
    ledger = tmp_path / "data" / "sent.sqlite"

    def slow(_):
        time.sleep(0.02)
        return 0

    with SmallArchive(status=slow) as archive, StowService(pause_s=0.3) as service:
        target = archive.link if way == "C-STORE" else service.url
        words = [sys.executable, "-m", "cloudfilm", "send", str(folder), target, "--json"]
        kills, noted = 0, set[str]()
        has = lambda: uids(archive) if way == "C-STORE" else service.stored  # noqa: E731
        while kills < 30:
            begun = len(has())
            process = subprocess.Popen(words, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and len(has()) == begun:
                time.sleep(0.005)
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, 0.2))
            if process.poll() is None:
                process.kill()
                kills += 1
            process.wait()
            time.sleep(0.4)  # what was under way arrives
            with sqlite3.connect(ledger) as rows:
                now = {row[0] for row in rows.execute("SELECT uid FROM sent")}
            assert noted <= now <= set(has())
            noted = now
            if noted == set(wanted):  # begin again, with nothing in the ledger
                with sqlite3.connect(ledger) as rows:
                    rows.execute("DELETE FROM sent")
                noted = set()
        done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=600)
        document = json.loads(done.stdout)
        assert (done.returncode, document["exit_code"]) == (0, 0)
        assert document["instances"]["before"] + document["instances"]["sent"] == len(wanted)
        assert document["instances"]["before"] == len(noted)
        assert sorted(set(has())) == wanted
