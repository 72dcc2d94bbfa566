"""A viewer whose list holds more studies than the one it shows: the patient's are captured, others are named and not taken."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from fixtures.dicom import SyntheticStudy, chest_ct
from fixtures.sites import Address, application
from fixtures.sites.lazy_viewer import page
from fixtures.world import World
from providers.universal import Universal
from scraper.capture.other_studies import MAX_ASKED
from scraper.capture.patients import are_same_patient
from scraper.core.model import Header, Via
from scraper.core.reasons import Reason
from scraper.session.browser import find_browser
from scraper.testing import Case, check, first_of

ADDRESS = Address("film.viewer.test")
BY_POST = "u => fetch('/object', {method: 'POST', body: JSON.stringify({id: u})}).then(a => a.arrayBuffer())"
BY_GET = "u => fetch('/image/' + u).then(a => a.arrayBuffer())"
BY_ADDRESS = "u => fetch(u).then(a => a.arrayBuffer())"
IN_PARTS = """async u => { const size = +(await fetch('/size/' + u).then(a => a.text())), half = size >> 1, parts = [];
  for (const range of [`0-${half}`, `${half + 1}-${size - 1}`])
    parts.push(await fetch('/file/' + u, {headers: {Range: 'bytes=' + range}}).then(a => a.arrayBuffer()));
  return new Blob(parts).arrayBuffer(); }"""
OPEN = "fetch('/list').then(a => a.json()).then(j => viewer(j.FLAT, LOADER));"
SOCKET = """
const socket = new WebSocket(`wss://${location.host}/stream`), waiting = [];
socket.binaryType = "arraybuffer";
socket.onmessage = event => waiting.shift()(event.data);
const load = u => new Promise(done => { waiting.push(done); socket.send(JSON.stringify({get: u})); });
socket.onopen = () => fetch("/list").then(a => a.json()).then(j => viewer(j.flatMap(one => one.rows), load));
"""
QIDO = """
const names = ["STUDY0", "STUDY1"], tag = (row, name) => row[name].Value[0], get = path => fetch("/dicom-web" + path,
  {headers: {Accept: "application/dicom+json"}}).then(a => a.json());
(async () => { const rows = [];
  for (const study of names) for (const series of await get(`/studies/${study}/series`)) {
    const uid = tag(series, "0020000E");
    rows.push({name: uid.slice(-4), images: (await get(`/studies/${study}/series/${uid}/instances`)).map(
      row => `/dicom-web/studies/${study}/series/${uid}/instances/${tag(row, "00080018")}`)}); }
  viewer(rows, u => fetch(u, {headers: {Accept: "application/dicom"}}).then(a => a.arrayBuffer())); })();
"""
LOADERS = {
    "post": BY_POST,
    "gone": BY_POST,
    "many": BY_POST,
    "stranger": BY_POST,
    "unmarked": BY_GET,
    "parts": IN_PARTS,
}


def study(slices: int, seed: int, *, patient: int, thin: int | None = None) -> SyntheticStudy:
    return chest_ct(slices=slices, thin=thin, size=64, localizers=0, dose_report=False, seed=seed, patient=patient)


class Viewer:
    """One page for all its studies, the first of which it shows."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        patient = 312 if kind == "stranger" else 311
        others = [study(4, 313 + n, patient=patient) for n in range(MAX_ASKED + 2 if kind == "many" else 1)]
        self.studies = [study(6, 311, patient=311, thin=3), *others]
        self.addresses = (ADDRESS,)
        self.files = {uid: data for item in self.studies for uid, data in item.files.items()}
        self.originals = self.files
        self.app = application(
            Route("/v", self._page),
            Route("/list", self._list),
            Route("/object", self._posted, methods=["POST"]),
            Route("/image/{uid}", self._image),
            Route("/size/{uid}", lambda request: Response(str(len(self.files[request.path_params["uid"]])))),
            Route("/file/{uid}", self._part),
            Route("/wado", lambda request: self._object(request.query_params["objectUID"])),
            Route("/dicom-web/studies", self._qido_studies),
            Route("/dicom-web/studies/{study}/series", self._qido_series),
            Route("/dicom-web/studies/{study}/series/{series}/instances", self._qido_instances),
            Route("/dicom-web/studies/{study}/series/{series}/instances/{uid}", self._image),
            WebSocketRoute("/stream", self._stream),
        )

    @property
    def link(self) -> str:
        return f"{ADDRESS.origin}/v?ticket=4711"

    def wanted(self, studies: int) -> dict[str, int]:
        return {row.uid: len(row.instances) for item in self.studies[:studies] for row in item.series}

    async def _page(self, request: Request) -> Response:
        if self.kind == "socket":
            return HTMLResponse(page("影像", SOCKET))
        if self.kind == "dicomweb":
            uids = [item.study_instance_uid for item in self.studies]
            return HTMLResponse(page("影像", QIDO.replace("STUDY0", uids[0]).replace("STUDY1", uids[1])))
        flat = "rows" if self.kind in ("unmarked", "wado") else "exams.flatMap(exam => exam.rows)"
        loader = LOADERS.get(self.kind, BY_ADDRESS)
        return HTMLResponse(page("影像", OPEN.replace("FLAT", flat).replace("LOADER", loader)))

    async def _list(self, request: Request) -> Response:
        exams = [
            {"examNo": f"EX-{7000 + n}", "rows": [self._row(item, row.uid) for row in item.series]}
            for n, item in enumerate(self.studies)
        ]
        if self.kind in ("unmarked", "wado"):
            return JSONResponse({"rows": [row for exam in exams for row in exam["rows"]]})
        return JSONResponse(exams if self.kind == "socket" else {"exams": exams})

    def _row(self, item: SyntheticStudy, uid: str) -> dict[str, object]:
        images = next(row.instances for row in item.series if row.uid == uid)
        names = [image.sop_instance_uid for image in images]
        if self.kind == "wado":
            head = f"/wado?requestType=WADO&studyUID={item.study_instance_uid}&seriesUID={uid}&objectUID="
            names = [head + name for name in names]
        return {"name": f"序列 {uid[-4:]}", "images": names}

    async def _posted(self, request: Request) -> Response:
        uid = json.loads(await request.body())["id"]
        is_gone = self.kind == "gone" and uid not in self.studies[0].files
        return Response(status_code=404) if is_gone else self._object(uid)

    async def _image(self, request: Request) -> Response:
        return self._object(request.path_params["uid"])

    def _object(self, uid: str) -> Response:
        if uid not in self.files:
            return Response(status_code=404)
        return Response(self.files[uid], media_type="application/dicom")

    async def _part(self, request: Request) -> Response:
        data = self.files[request.path_params["uid"]]
        first, last = (int(value) for value in request.headers["range"].removeprefix("bytes=").split("-"))
        headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return Response(data[first : last + 1], 206, headers=headers, media_type="application/octet-stream")

    async def _stream(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_bytes(self.files[json.loads(await socket.receive_text())["get"]])
        except WebSocketDisconnect:
            return

    # ---- DICOMweb

    async def _qido_studies(self, request: Request) -> Response:
        uid = request.query_params.get("StudyInstanceUID", "")
        found = [item for item in self.studies if item.study_instance_uid == uid]
        return self._rows([{"0020000D": uid, "00100020": item.patient_id} for item in found])

    async def _qido_series(self, request: Request) -> Response:
        item = self._study(request)
        return self._rows([{"0020000D": item.study_instance_uid, "0020000E": row.uid} for row in item.series])

    async def _qido_instances(self, request: Request) -> Response:
        row = next(row for row in self._study(request).series if row.uid == request.path_params["series"])
        return self._rows([{"0020000E": row.uid, "00080018": image.sop_instance_uid} for image in row.instances])

    def _study(self, request: Request) -> SyntheticStudy:
        return next(item for item in self.studies if item.study_instance_uid == request.path_params["study"])

    def _rows(self, rows: list[dict[str, str]]) -> Response:
        coded = [{tag: {"vr": "UI", "Value": [value]} for tag, value in row.items()} for row in rows]
        return Response(json.dumps(coded), media_type="application/dicom+json")


WHOLE = ("unmarked", "socket", "post", "wado", "parts", "dicomweb")
needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")


@needs_browser
@pytest.mark.parametrize("kind", first_of(WHOLE))
async def test_verdicts_further_studies_of_the_patient_are_captured(kind, tmp_path):
    site = Viewer(kind)
    with World(site) as world:
        case = Case(kind, site.link, series=site.wanted(2))
        result = await check(Universal, case, world, tmp_path, Via.BROWSER)
        assert world.unexpected == []
    assert {study.study.uid for study in result.studies} == {item.study_instance_uid for item in site.studies}


@needs_browser
@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        ("gone", {Reason.PATIENT_UNKNOWN: 1}),
        pytest.param("stranger", {Reason.ANOTHER_PATIENT: 1}, marks=pytest.mark.thorough),
        pytest.param("many", {Reason.TOO_MANY_STUDIES: 2}, marks=pytest.mark.thorough),
    ],
)
async def test_verdicts_a_study_that_is_left_out_is_named(kind, reasons, tmp_path):
    site = Viewer(kind)
    with World(site) as world:
        taken = 1 + MAX_ASKED if kind == "many" else 1
        case = Case(kind, site.link, series=site.wanted(taken), lacks="further-study")
        result = await check(Universal, case, world, tmp_path, Via.BROWSER)
    problems = [problem for item in result.studies for row in item.series for problem in row.problems]
    left_out = {item.values["why"]: item.values["count"] for item in problems if item.code == "further-study"}
    assert (result.exit_code, left_out) == (7, reasons)


def header(patient_id: str, name: str) -> Header:
    return Header("1", "2", "3", "4", "5", patient_id=patient_id, patient_name=name)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("P1", "ZHANG^SAN"), ("P1 ", "Zhang San"), True),
        (("P1", "张三"), ("P1", "ZHANG^SAN"), True),
        (("P1", ""), ("P1", "ZHANG^SAN"), True),
        (("P1", "LI^SI"), ("P1", "ZHANG^SAN"), False),
        (("P1", "李四"), ("P1", "张三"), False),
        (("P1", "张三"), ("P2", "张三"), False),
        (("", "张三"), ("", "张三"), False),
    ],
)
def test_verdicts_one_patient_is_told_by_the_id_and_names_that_do_not_contradict_it(one, other, expected):
    assert are_same_patient(header(*one), header(*other)) is expected
