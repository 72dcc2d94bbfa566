"""``cloudfilm send``: to Orthanc, dcmtk's storescp and dcmqrscp, and small archives that refuse, fill up, or drop the line."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
import trustme
from pydicom import dcmread
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import StorageCommitmentPushModel

from fixtures.archives import DCMTK_MISSING, DcmQrScp, free_port
from fixtures.dicom import JPEG_LS, chest_ct
from fixtures.orthanc import MISSING as ORTHANC_MISSING
from fixtures.orthanc import Orthanc
from scraper.core.errors import ExitCode, UsageError
from scraper.core.messages import words_of
from scraper.core.settings import Language, Settings
from scraper.dicom.outgoing import keyword_of
from scraper.send import Sent, send, target_of
from scraper.send.run import SendOptions
from scraper.testing import first_of
from tests.programs import environment, ran, started
from tests.test_cli import cloudfilm

STUDY = chest_ct(slices=5, thin=3, size=64, seed=81, thin_syntax=JPEG_LS)
SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", JPEG_LS)
ROOT = Path(__file__).resolve().parent.parent
STORESCP = shutil.which("storescp")


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


async def sent(folder: Path, target: str, *, settings: Settings | None = None, **options) -> Sent:
    chosen = settings or Settings(timeout_s=20)
    return await send([folder], target_of(target, insecure=chosen.insecure), chosen, SendOptions(**options))


class SmallArchive:
    """An archive of this test's own; ``status`` says what it answers to each object.

    Args:
        syntaxes: that it takes.
        status: given the place of the object, from 0, its answer; None: it aborts the association.
        commits: it offers Storage Commitment.
        context: TLS.
    """

    def __init__(self, syntaxes=SYNTAXES, status=lambda _: 0, *, commits=False, context: ssl.SSLContext | None = None):
        self.syntaxes, self.status, self.commits, self.context = syntaxes, status, commits, context
        self.stored: list[tuple[str, bytes]] = []
        self.associations = 0
        self.lost: frozenset[str] = frozenset()
        self.is_mute = False  # it takes the request for commitment, and would answer on an association of its own

    def __enter__(self):
        _config.LOG_HANDLER_LEVEL = "none"
        entity = AE("ARCHIVE")
        for sop_class in {str(dcmread(BytesIO(item.data)).SOPClassUID) for item in STUDY.instances}:
            entity.add_supported_context(sop_class, list(self.syntaxes))
        if self.commits:
            entity.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, self._take), (evt.EVT_N_ACTION, self._commit), (evt.EVT_ACCEPTED, self._count)]
        self._server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=self.context
        )
        self.link = f"pacs://ARCHIVE@127.0.0.1:{self._server.socket.getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self._server.shutdown()

    def _count(self, _):
        self.associations += 1

    def _take(self, event):
        status = self.status(len(self.stored))
        if status is None:
            event.assoc.abort()
            return 0xC000
        if status < 0xA000 or status >= 0xB000:
            self.stored.append((str(event.request.AffectedSOPInstanceUID), event.encoded_dataset()))
        return status

    def _commit(self, event):
        asked, association = event.action_information, event.assoc
        if self.is_mute:
            return 0x0000, None

        def report():
            report = asked.__class__()
            report.TransactionUID = asked.TransactionUID
            stored = [item for item in asked.ReferencedSOPSequence if item.ReferencedSOPInstanceUID not in self.lost]
            failed = [item for item in asked.ReferencedSOPSequence if item not in stored]
            for item in failed:
                item.FailureReason = 0x0112
            report.ReferencedSOPSequence = stored
            if failed:
                report.FailedSOPSequence = failed
            kind = 2 if failed else 1
            association.send_n_event_report(report, kind, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")

        threading.Thread(target=report, daemon=True).start()
        return 0x0000, None


def uids(archive: SmallArchive) -> list[str]:
    return [uid for uid, _ in archive.stored]


ALL = sorted(item.sop_instance_uid for item in STUDY.instances)
BYTES = {item.sop_instance_uid: item.data for item in STUDY.instances}


async def test_each_instance_arrives_once_byte_for_byte_and_the_second_run_sends_nothing(folder):
    with SmallArchive() as archive:
        first = await sent(folder, archive.link)
        assert (first.exit_code, first.sent, first.before) == (ExitCode.COMPLETE, len(ALL), 0)
        assert sorted(uids(archive)) == ALL
        for uid, data in archive.stored:
            _, _, inside = data.partition(b"\x08\x00\x05\x00")  # behind the file meta that the library puts before it
            assert BYTES[uid].endswith(inside)
        second = await sent(folder, archive.link)
        assert (second.exit_code, second.sent, second.before) == (ExitCode.COMPLETE, 0, len(ALL))
        again = await sent(folder, archive.link, again=True)
        assert (again.sent, len(archive.stored)) == (len(ALL), 2 * len(ALL))


async def test_a_line_that_breaks_is_taken_up_again(folder):
    broken = {2, 5}

    def status(place):
        if place in broken:
            broken.discard(place)
            return None
        return 0

    with SmallArchive(status=status) as archive:
        result = await sent(folder, archive.link)
        assert result.exit_code == ExitCode.COMPLETE
        assert sorted(uids(archive)) == ALL
        assert archive.associations == 3


async def test_an_archive_that_is_full_ends_the_run_and_the_next_one_goes_on(folder):
    full, refused = [True], []

    def status(place):
        if full[0] and place == 3:
            refused.append(place)
            return 0xA700
        return 0

    with SmallArchive(status=status) as archive:
        result = await sent(folder, archive.link)
        assert (result.exit_code, result.sent) == (ExitCode.SITE, 3)
        assert refused == [3]
        assert "full" in json.dumps(result.to_dict())
        full.clear()
        full.append(False)
        result = await sent(folder, archive.link)
        assert (result.exit_code, result.sent, result.before) == (ExitCode.COMPLETE, len(ALL) - 3, 3)
        assert sorted(uids(archive)) == ALL


@pytest.mark.parametrize(
    ("status", "why"), first_of([(0xC123, "can't read"), (0x0110, "processing"), (0xA900, "fit")]), ids=str
)
async def test_one_instance_that_is_refused_is_named_and_the_rest_goes(status, why, folder):
    answers = iter([status])
    with SmallArchive(status=lambda place: next(answers, 0) if place == 2 else 0) as archive:
        result = await sent(folder, archive.link)
    assert (result.exit_code, result.sent) == (ExitCode.INCOMPLETE, len(ALL) - 1)
    (problem,) = result.problems
    assert problem.code == "not-sent"
    assert why in str(words_of(problem.values["why"], Language.EN))
    assert len(problem.instances) == 1


async def test_a_warning_is_said_and_the_instance_is_there(folder):
    with SmallArchive(status=lambda place: 0xB000 if place == 1 else 0) as archive:
        result = await sent(folder, archive.link)
    assert (result.exit_code, result.sent) == (ExitCode.COMPLETE, len(ALL))
    assert [problem.code for problem in result.problems] == ["sent-with-warning"]


async def test_another_transfer_syntax_only_where_it_is_refused_and_allowed(folder):
    plain = SYNTAXES[:1]
    compressed = sum(dcmread(BytesIO(item.data)).file_meta.TransferSyntaxUID == JPEG_LS for item in STUDY.instances)
    assert compressed
    with SmallArchive(plain) as archive:
        refused = await sent(folder, archive.link)
        assert (refused.exit_code, refused.sent) == (ExitCode.INCOMPLETE, len(ALL) - compressed)
        allowed = await sent(folder, archive.link, may_convert=True)
        assert (allowed.exit_code, allowed.sent, allowed.converted) == (ExitCode.COMPLETE, compressed, compressed)
        for uid, data in archive.stored:
            ds, original = dcmread(BytesIO(data)), dcmread(BytesIO(BYTES[uid]))
            assert "PixelData" not in original or (ds.pixel_array == original.pixel_array).all()
    assert sorted(path.read_bytes() for path in folder.iterdir()) == sorted(BYTES.values())


async def test_values_are_set_on_copies_and_recorded(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with SmallArchive() as archive:
        result = await sent(folder, archive.link, changes={"PatientID": "新-0042", "AccessionNumber": "A1"})
    assert (result.exit_code, result.changed) == (ExitCode.COMPLETE, len(ALL))
    for uid, data in archive.stored:
        ds, original = dcmread(BytesIO(data)), dcmread(BytesIO(BYTES[uid]))
        assert (ds.PatientID, ds.AccessionNumber, str(ds.PatientName)) == ("新-0042", "A1", str(original.PatientName))
        (record,) = ds.OriginalAttributesSequence
        assert record.ModifiedAttributesSequence[0].PatientID == original.PatientID
        assert record.ReasonForTheAttributeModification == "COERCE"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def as_workbook(path: Path, rows: list[list[str]]) -> Path:
    from openpyxl import Workbook

    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path.with_suffix(".xlsx"))
    return path.with_suffix(".xlsx")


def as_csv(path: Path, rows: list[list[str]]) -> Path:
    path = path.with_suffix(".csv")
    path.write_text("\ufeff" + "\r\n".join(map(";".join, rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("write", "heading"), first_of([(as_csv, "study_uid"), (as_workbook, "检查 UID"), (as_csv, "文件夹")], 2)
)
def test_values_by_a_column_of_a_list(write, heading, folder, tmp_path):
    key = STUDY.study_instance_uid if "uid" in heading.lower() else folder.name
    rows = [
        ["label", heading, "PatientID", "00080050", "Rows"],
        ["a", key, "0042", "A7", "9"],
        ["b", "other", "1", "2", "3"],
    ]
    with SmallArchive() as archive:
        done = cloudfilm(
            "send", folder, archive.link, "--set", "PatientID=1", "--set-from", write(tmp_path / "list", rows)
        )
    assert done.returncode == 0, done.stderr
    assert len(archive.stored) == len(ALL)
    for uid, data in archive.stored:
        ds = dcmread(BytesIO(data))
        assert (ds.PatientID, ds.AccessionNumber) == ("0042", "A7")
        assert ds.get("Rows") == dcmread(BytesIO(BYTES[uid])).get("Rows")


@pytest.mark.parametrize(
    "rows",
    [
        [["PatientID"], ["1"]],
        [["study_uid", "label"], ["1.2", "a"]],
        [["study_uid", "PatientID"], ["1.2", "a"], ["1.2", "b"]],
        [],
    ],
    ids=["no study", "no attribute", "two values", "empty"],
)
def test_a_list_of_values_that_cannot_be_used_sends_nothing(rows, folder, tmp_path):
    with SmallArchive() as archive:
        done = cloudfilm("send", folder, archive.link, "--set-from", as_csv(tmp_path / "list", rows))
    assert done.returncode == ExitCode.USAGE
    assert "--set-from" in done.stderr
    assert not archive.stored


@pytest.mark.parametrize("name", ["SOPInstanceUID", "Rows", "PixelData", "NoSuchThing", "00020010", "zz"])
def test_what_is_never_set(name):
    with pytest.raises(UsageError):
        keyword_of(name)


async def test_commitment_that_nobody_answers_is_said_and_harms_nothing(folder):
    with SmallArchive(commits=True) as archive:
        archive.is_mute = True
        result = await sent(folder, archive.link)
    assert (result.exit_code, result.sent, result.committed) == (ExitCode.COMPLETE, len(ALL), None)
    assert [problem.code for problem in result.problems] == ["commitment-unanswered"]


async def test_storage_commitment_where_it_is_offered(folder):
    with SmallArchive(commits=True) as archive:
        assert (await sent(folder, archive.link)).committed == len(ALL)
    with SmallArchive(commits=True) as archive:
        archive.lost = frozenset(ALL[:1])
        result = await sent(folder, archive.link)
        assert (result.exit_code, result.committed, result.sent) == (ExitCode.INCOMPLETE, len(ALL) - 1, len(ALL) - 1)
        archive.lost = frozenset()
        assert (await sent(folder, archive.link)).sent == 1


@pytest.mark.parametrize("trusts", [True, False], ids=["its authority is trusted", "it is not"])
async def test_tls(trusts, folder, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with SmallArchive(context=context) as archive:
        more = f"&ca={tmp_path / 'ca.pem'}" if trusts else ""
        result = await sent(folder, f"{archive.link}?tls=yes{more}")
    assert result.exit_code == (ExitCode.COMPLETE if trusts else ExitCode.SITE)
    assert sorted(uids(archive)) == (ALL if trusts else [])


async def test_a_client_certificate_is_shown_where_the_archive_asks_for_one(folder, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("station.test")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with SmallArchive(context=context) as archive:
        link = f"{archive.link}?tls=yes&ca={tmp_path / 'ca.pem'}&cert={tmp_path / 'own.pem'}"
        assert (await sent(folder, link)).exit_code == ExitCode.COMPLETE


async def test_nobody_there_and_a_wrong_title(folder):
    result = await sent(folder, f"pacs://ARCHIVE@127.0.0.1:{free_port()}")
    assert (result.exit_code, result.sent) == (ExitCode.SITE, 0)


NONSENSE = {
    "an acceptance of four gigabytes": b"\x02\0\xff\xff\xff\xff",
    "an acceptance of nothing": b"\x02\0\0\0\0\x04abcd",
    "an acceptance that is cut off": b"\x02\0\0\0\0\x60" + b"\0\x01" + bytes(66) + b"\x21\0\xff\xff" + bytes(24),
    "a refusal of nothing": b"\x03\0\0\0\0\0",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
}


async def test_what_is_no_archive_ends_the_run_at_once(folder):
    for answer in NONSENSE.values():
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve(server=server, answer=answer):
                while True:
                    try:
                        line, _ = server.accept()
                    except OSError:
                        return
                    with line:
                        line.recv(1 << 16)
                        line.sendall(answer)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            result = await sent(folder, f"pacs://ARCHIVE@127.0.0.1:{server.getsockname()[1]}")
            server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert (result.exit_code, result.sent) == (ExitCode.SITE, 0), answer


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
@pytest.mark.parametrize("way", first_of(["C-STORE", "STOW-RS"]))
def test_a_ledger_that_finds_no_room_ends_the_run_and_the_next_one_goes_on(way, folder):
    """The ledger may not grow beyond a few rows, which the system reports as it reports a full disk."""
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000));"
    )
    with SmallArchive() as archive, StowService() as service:
        target, stored = (archive.link, archive.stored) if way == "C-STORE" else (service.url, service.stored)
        documents = []
        for before in (limited, ""):
            done = cloudfilm("send", folder, target, "--json", before=before)
            documents.append(json.loads(done.stdout))
            if len(documents) == 1:
                had = len(stored)
        first, second = documents
        assert (first["exit_code"], second["exit_code"]) == (ExitCode.STORE, ExitCode.COMPLETE)
        assert "sent.sqlite" in first["problems"][-1]["message"]
        noted = first["instances"]["sent"]
        assert 0 < noted < had <= len(ALL)
        assert second["instances"]["before"] == noted
        assert sorted({row[0] if way == "C-STORE" else row for row in stored}) == ALL
        assert len(stored) == had + len(ALL) - noted  # the one that it could not note goes again, and is there once


@pytest.mark.thorough
def test_killed_at_any_moment_each_instance_is_there_once(folder, tmp_path):
    """The process is killed after each instance in turn; in the end the archive has all, and at most one twice a kill."""
    reached = threading.Condition()
    with SmallArchive() as archive:
        original = archive.status

        def status(place):
            with reached:
                reached.notify_all()
            return original(place)

        archive.status = status
        variables = environment(CLOUDFILM_DATA=str(tmp_path / "data"))
        words = ("send", folder, archive.link, "--json")
        for count in (1, 4):
            with started(*words, environment=variables) as process:
                with reached:
                    assert reached.wait_for(lambda: len(set(uids(archive))) >= count, 60)  # noqa: B023  waited for at once
                process.send_signal(signal.SIGKILL)
        done = ran(*words, environment=variables)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["instances"]["before"] + document["instances"]["sent"] == len(ALL)
    assert document["instances"]["before"] >= 3
    assert sorted(set(uids(archive))) == ALL
    assert len(archive.stored) <= len(ALL) + 2


@pytest.mark.skipif(bool(ORTHANC_MISSING), reason=ORTHANC_MISSING)
async def test_orthanc_by_both_ways(folder):
    station = {"CLOUDFILM": ("127.0.0.1", 1)}
    with Orthanc(station, {"DicomAlwaysAllowStore": True, "StrictAetComparison": False}) as orthanc:
        result = await sent(folder, f"pacs://ORTHANC@127.0.0.1:{orthanc.dicom_port}")
        assert (result.exit_code, result.sent) == (ExitCode.COMPLETE, len(ALL)), result
        assert instances(orthanc) == ALL
        stow = await sent(folder, f"{orthanc.url}/studies")
        assert (stow.exit_code, stow.sent) == (ExitCode.COMPLETE, len(ALL)), stow
        assert instances(orthanc) == ALL


def instances(orthanc: Orthanc) -> list[str]:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{orthanc.port}/instances?expand") as answer:
        return sorted(row["MainDicomTags"]["SOPInstanceUID"] for row in json.load(answer))


class StowService(ThreadingHTTPServer):
    """A small STOW-RS service; ``plan`` has what it answers next, before it works as it should."""

    def __init__(self, plan=(), *, authorization="", most_bytes=1 << 30, refuses=frozenset(), pause_s=0.0):
        super().__init__(("127.0.0.1", 0), StowHandler)
        self.pause_s = pause_s  # before it answers
        self.plan, self.authorization, self.most_bytes = list(plan), authorization, most_bytes
        self.refuses = refuses
        self.stored: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/dicom-web/studies"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class StowHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        service, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        if service.authorization and self.headers.get("Authorization") != service.authorization:
            return self.reply(401)
        if service.plan:
            planned = service.plan.pop(0)
            if planned is None:
                self.connection.close()
                self.close_connection = True
                return None
            return self.reply(planned)
        if len(body) > service.most_bytes:
            return self.reply(413)
        message = BytesParser().parsebytes(
            b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body
        )
        taken, failed = [], []
        for part in message.get_payload():
            assert part.get_content_type() == "application/dicom"
            uid = str(dcmread(BytesIO(part.get_payload(decode=True)), stop_before_pixels=True).SOPInstanceUID)
            (failed if uid in service.refuses else taken).append(uid)
        service.stored += taken
        time.sleep(service.pause_s)
        row = lambda uid: {"00081155": {"vr": "UI", "Value": [uid]}}  # noqa: E731
        answer = {"00081199": {"vr": "SQ", "Value": [row(uid) for uid in taken]}}
        if failed:
            reason = {"00081197": {"vr": "US", "Value": [0x0110]}}
            answer["00081198"] = {"vr": "SQ", "Value": [row(uid) | reason for uid in failed]}
        status = 200 if not failed else (202 if taken else 409)
        return self.reply(status, json.dumps(answer).encode())

    def reply(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("plan", first_of([[503, 429], [None], [502]], 2), ids=str)
async def test_stow_a_service_that_is_busy_or_drops_the_line_is_tried_again(plan, folder):
    with StowService(plan) as service:
        result = await sent(folder, service.url)
        assert (result.exit_code, sorted(set(service.stored))) == (ExitCode.COMPLETE, ALL)


async def test_stow_a_request_that_is_too_large_is_parted(folder):
    with StowService(most_bytes=20_000) as service:
        result = await sent(folder, service.url)
        assert (result.exit_code, sorted(service.stored)) == (ExitCode.COMPLETE, ALL)


async def test_stow_what_is_refused_is_named_and_goes_the_next_time(folder):
    with StowService(refuses=frozenset(ALL[2:4])) as service:
        result = await sent(folder, service.url, changes={"AccessionNumber": "7"})
        assert (result.exit_code, result.sent) == (ExitCode.INCOMPLETE, len(ALL) - 2)
        assert [len(problem.instances) for problem in result.problems] == [2]
        service.refuses = frozenset()
        assert (await sent(folder, service.url, changes={"AccessionNumber": "7"})).sent == 2
    assert sorted(service.stored) == ALL


@pytest.mark.parametrize(
    ("answers", "authorization"),
    [({"account": "doctor", "password": "s3cret"}, "Basic ZG9jdG9yOnMzY3JldA=="), ({"token": "t0ken"}, "Bearer t0ken")],
    ids=["basic", "bearer"],
)
async def test_stow_asks_who_it_is(answers, authorization, folder):
    with StowService(authorization=authorization) as service:
        assert (await sent(folder, service.url)).exit_code == ExitCode.CREDENTIALS
        wrong = Settings(timeout_s=20, answers={"token": "wrong"})
        assert (await sent(folder, service.url, settings=wrong)).exit_code == ExitCode.CREDENTIALS
        right = Settings(timeout_s=20, answers=answers)
        assert (await sent(folder, service.url, settings=right)).exit_code == ExitCode.COMPLETE


async def test_stow_over_tls_with_a_client_certificate(folder, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("station.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with StowService() as service:
        service.socket = context.wrap_socket(service.socket, server_side=True)
        url = service.url.replace("http:", "https:")
        settings = Settings(
            timeout_s=20,
            tls_authority=tmp_path / "ca.pem",
            tls_certificate=tmp_path / "own.pem",
            tls_key=tmp_path / "own.pem",
        )
        result = await sent(folder, url, settings=settings)
        assert (result.exit_code, sorted(service.stored)) == (ExitCode.COMPLETE, ALL), result


@contextmanager
def storescp(folder: Path, *options: str):
    folder.mkdir(exist_ok=True)
    port = free_port()
    with subprocess.Popen(
        [str(STORESCP), "-od", str(folder), *options, str(port)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield f"pacs://STORESCP@127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.skipif(not STORESCP, reason="dcmtk (storescp) is not installed")
async def test_storescp_takes_compressed_ones_as_they_are_or_not_at_all(folder, tmp_path):
    with storescp(tmp_path / "all", "+xa") as link:
        assert (await sent(folder, link)).sent == len(ALL)
    saved = {str(ds.SOPInstanceUID): ds for ds in map(dcmread, (tmp_path / "all").iterdir())}
    for uid, ds in saved.items():
        assert ds == dcmread(BytesIO(BYTES[uid]))
        assert ds.file_meta.TransferSyntaxUID == dcmread(BytesIO(BYTES[uid])).file_meta.TransferSyntaxUID
    with storescp(tmp_path / "plain", "+xi") as link:  # implicit VR alone
        assert (await sent(folder, link)).sent == 0
        assert (await sent(folder, link, may_convert=True)).converted == len(ALL)
    assert len(list((tmp_path / "plain").iterdir())) == len(ALL)


@pytest.mark.skipif(bool(DCMTK_MISSING), reason=DCMTK_MISSING)
async def test_dcmqrscp_takes_them_and_refuses_strangers(folder):
    with DcmQrScp(stations={"CLOUDFILM": free_port()}, options=["+xt"]) as archive:
        link = archive.link("").rstrip("?")
        assert (await sent(folder, link)).exit_code == ExitCode.COMPLETE
        stranger = await sent(folder, f"{link}?calling=NOBODY", again=True)
        assert stranger.exit_code in (ExitCode.CREDENTIALS, ExitCode.UNUSABLE_LINK)


@pytest.mark.parametrize(
    "words",
    first_of(
        [
            (("send", ".", "ftp://x"),),
            (("send", ".", "https://x.test/dicom-web"),),
            (("send", ".", "pacs://A@127.0.0.1:1", "--set", "PatientID"),),
            (("send", "nowhere/at/all", "pacs://A@127.0.0.1:1"),),
        ]
    ),
    ids=lambda words: " ".join(words[2:]),
)
def test_wrong_usage(words):
    done = cloudfilm(*words)
    assert done.returncode == ExitCode.USAGE, done.stderr


def test_the_command_says_it_in_both_languages(folder):
    with SmallArchive() as archive:
        done = cloudfilm("send", folder, archive.link, "--lang", "zh", "--set", "AccessionNumber=7")
        assert done.returncode == 0, done.stderr
        assert f"已接收 {len(ALL)} 幅" in done.stdout
        again = cloudfilm("send", folder, archive.link, "--lang", "en", "--set", "AccessionNumber=7")
    assert "in an earlier run" in again.stdout


def test_the_library_sends(folder):
    import cloudfilm

    with SmallArchive() as archive:
        made = cloudfilm.send(folder, archive.link, changes={"AccessionNumber": "7"}, timeout_s=20)
    assert made.exit_code == 0
    assert made.to_dict()["instances"]["changed"] == len(ALL)
