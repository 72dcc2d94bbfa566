"""Viewers whose list of images stands behind other calls: a token, a study's number, a cookie, a password."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from fixtures.dicom import chest_ct
from fixtures.sites import Address, application, unexpected
from fixtures.sites.lazy_viewer import page

HOST = "yun.lists.test"
CODE, NUMBER, PASSWORD = "Kq7Zp2Xw", "ST20260112000731", "film-pass-9"
LOAD = "u => fetch(u).then(a => a.arrayBuffer())"
CHAIN = """
const code = new URLSearchParams(location.search).get("code");
fetch("/api/enter?code=" + code + "&_=" + Date.now()).then(a => a.json()).then(async entry => {
  const token = entry.data.token, study = entry.data.study.id;
  const answer = await fetch("/api/list", {method: "POST", body: JSON.stringify({studyId: study, page: 1}),
    headers: {"Content-Type": "application/json", "X-Token": token}}).then(a => a.json());
  const address = o => "/dicom/" + study + "/" + o.id + ".dcm?token=" + token;
  viewer(answer.result.groups.map(g => ({name: g.label, images: g.objs.map(address)})), LOAD); });
"""
ARRAY = """fetch("/api/all/" + location.pathname.split("/")[2]).then(a => a.json())
  .then(all => viewer([{name: "all", images: all.map(one => one.url)}], LOAD));"""
LOGIN = """document.querySelector("form").onsubmit = async event => { event.preventDefault();
  const answer = await fetch("/api/login", {method: "POST", headers: {"Content-Type": "application/x-www-form-urlencoded"},
    body: new URLSearchParams({pwd: document.querySelector("input").value, type: "1"})});
  if (!answer.ok) return fail("密码错误");
  const headers = {Authorization: "Bearer " + (await answer.json()).ticket};
  document.querySelector("form").remove();
  const list = await fetch("/api/files", {headers}).then(a => a.json());
  viewer(list.data.map(one => ({name: one.no, images: one.files})), u => fetch(u, {headers}).then(a => a.arrayBuffer())); };"""
SIGNED = """(async () => {
  const sign = [...new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode("salt" + Date.now())))]
    .map(b => b.toString(16).padStart(2, "0")).join("");
  const all = await fetch("/api/signed?sign=" + sign).then(a => a.json());
  viewer([{name: "all", images: all.map(one => one.url)}], LOAD); })();"""


class Lists:
    """One study; ``/s/<code>`` is its page, and ``kind`` says how its list is had."""

    def __init__(self) -> None:
        self.study = chest_ct(slices=6, thin=4, size=64, localizers=0, dose_report=False, seed=77)
        self._token = hashlib.sha256(b"token").hexdigest()[:24]
        self._names = {hashlib.sha256(uid.encode()).hexdigest()[:12]: uid for uid in self.study.by_uid}
        self.addresses = (Address(HOST),)
        self.originals = self.study.files
        self.app = application(
            Route("/chain", self.chain),
            Route("/array/{code}", self.array),
            Route("/login/{code}", self.form),
            Route("/signed/{code}", self.signed),
            Route("/api/enter", self.enter),
            Route("/api/list", self.listed, methods=["POST"]),
            Route("/api/all/{code}", self.everything),
            Route("/api/login", self.log_in, methods=["POST"]),
            Route("/api/files", self.files),
            Route("/api/signed", self.with_sign),
            Route("/dicom/{study}/{name}.dcm", self.by_name),
            Route("/file/{name}", self.by_ticket),
            Route("/plain/{name}", self.by_cookie),
        )

    @property
    def secrets(self) -> set[str]:
        """What must not stand in a provider."""
        return {CODE, NUMBER, PASSWORD, self._token, *self._names, *self.study.by_uid, "测试甲"}

    async def chain(self, request: Request) -> Response:
        if request.query_params.get("code") != CODE:
            return await unexpected(request)
        return HTMLResponse(page("影像", CHAIN.replace("LOAD", LOAD)))

    async def array(self, request: Request) -> Response:
        answer = HTMLResponse(page("影像", ARRAY.replace("LOAD", LOAD)))
        answer.set_cookie("JSESSIONID", self._token)
        return answer

    async def form(self, request: Request) -> Response:
        body = '<form><input type=password placeholder="请输入查看密码"><button>确定</button></form>'
        return HTMLResponse(page("影像", LOGIN, body))

    async def signed(self, request: Request) -> Response:
        answer = HTMLResponse(page("影像", SIGNED.replace("LOAD", LOAD)))
        answer.set_cookie("JSESSIONID", self._token)
        return answer

    async def enter(self, request: Request) -> Response:
        if request.query_params.get("code") != CODE:
            return Response(status_code=403)
        return JSONResponse(
            {"code": 0, "data": {"token": self._token, "study": {"id": NUMBER, "patientName": "测试甲"}}}
        )

    async def listed(self, request: Request) -> Response:
        asked = await request.json()
        if request.headers.get("x-token") != self._token or asked != {"studyId": NUMBER, "page": 1}:
            return Response(status_code=401)
        groups = [
            {
                "label": group.description,
                "patientName": "测试甲",
                "objs": [{"id": name, "n": n} for n, name in enumerate(names, 1)],
            }
            for group, names in self._groups()
        ]
        return JSONResponse({"result": {"groups": groups}})

    async def everything(self, request: Request) -> Response:
        if request.cookies.get("JSESSIONID") != self._token or request.path_params["code"] != CODE:
            return Response(status_code=401)
        return JSONResponse(
            [{"url": f"/plain/{name}", "sopUid": self._names[name]} for _, names in self._groups() for name in names]
        )

    async def log_in(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        return JSONResponse({"ticket": self._token}) if form.get("pwd") == [PASSWORD] else Response(status_code=403)

    async def files(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return Response(status_code=401)
        return JSONResponse(
            {
                "data": [
                    {"no": group.number, "files": [f"/file/{name}" for name in names]}
                    for group, names in self._groups()
                ]
            }
        )

    async def with_sign(self, request: Request) -> Response:
        if len(request.query_params.get("sign", "")) != 64:
            return Response(status_code=403)
        return JSONResponse([{"url": f"/plain/{name}"} for _, names in self._groups() for name in names])

    async def by_name(self, request: Request) -> Response:
        if request.query_params.get("token") != self._token or request.path_params["study"] != NUMBER:
            return Response(status_code=403)
        return self._object(request)

    async def by_ticket(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return Response(status_code=401)
        return self._object(request)

    async def by_cookie(self, request: Request) -> Response:
        return self._object(request) if request.cookies.get("JSESSIONID") == self._token else Response(status_code=401)

    def _object(self, request: Request) -> Response:
        uid = self._names.get(request.path_params["name"])
        if uid is None:
            return Response(status_code=404)
        return Response(self.study.by_uid[uid].data, media_type="application/octet-stream")

    def _groups(self) -> list[tuple]:
        by_uid = {uid: name for name, uid in self._names.items()}
        return [
            (series, [by_uid[instance.sop_instance_uid] for instance in series.instances])
            for series in self.study.series
        ]
