"""The four files of a new provider: the provider, its emulated site, the facts, and the tests; green as they are written.

What is written is a small platform that works: a link with a code, one call that lists a study, one file for each image.
With a bundle (``cloudfilm record``), host, link and the list of calls are the bundle's. Whoever adds the platform then
replaces one assumption after another by what was observed.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from scraper.core.edge import UNREADABLE
from scraper.core.schema import parse_json

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
MOST_BUNDLE_BYTES: Final = 64 * 2**20  # of bundle.json: thousands of calls are some megabytes
MOST_CALLS: Final = 60  # that are listed in the facts
MOST_KEYS: Final = 12  # of one answer
HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
KEY: Final = re.compile(r"[A-Za-z_][\w.-]{0,40}")
CODE: Final = "Ab12Cd34"


class ScaffoldError(Exception):
    """What was asked for can't be written; the text says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a bundle, as the facts list it."""

    method: str
    host: str
    path: str
    status: int
    kind: str
    keys: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """For the table of facts."""
        names = f", its names {', '.join(self.keys)}" if self.keys else ""
        return f"`{self.method} {self.host}{self.path}`: {self.status}, {self.kind or 'no type'}{names}"


@dataclass(frozen=True, slots=True)
class Platform:
    """What the files are filled with.

    Attributes:
        name: of the provider.
        host: of its links.
        before: the part of the link's path before the code, with its slashes.
        calls: of the bundle, in order.
    """

    name: str
    host: str
    before: str = "/s/"
    calls: tuple[Call, ...] = ()

    @property
    def module(self) -> str:
        """The name as a module's."""
        return self.name.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The name as a class's."""
        return "".join(word.capitalize() for word in self.module.split("_"))


def new_platform(name: str, bundle: Path | None = None) -> Platform:
    """The platform that files are written for.

    Raises:
        ScaffoldError: the name is no provider's name, or the bundle can't be read.
    """
    if not NAME.fullmatch(name):
        raise ScaffoldError(f"{name}: a name is of lower-case letters and digits, as aurora or aurora-cloud")
    if bundle is None:
        return Platform(name, f"film.{name.replace('_', '-')}.test")
    try:
        with zipfile.ZipFile(bundle) as archive:
            document = _json(archive, "bundle.json")
            if not isinstance(document, dict) or document.get("format") != "cloudfilm-bundle":
                raise ScaffoldError(f"{bundle} is no bundle of cloudfilm record")
            link = urlsplit(str(document.get("link", "")))
            calls = tuple(_calls(document, archive))
    except (OSError, zipfile.BadZipFile, *UNREADABLE) as err:
        raise ScaffoldError(f"{bundle} can't be read as a bundle: {err}") from err
    if not HOST.fullmatch(link.hostname or ""):
        raise ScaffoldError(f"{bundle}: the bundle names no link")
    before = re.sub(r"[^A-Za-z0-9/_~-]", "", link.path.rpartition("/")[0]) + "/"
    return Platform(name, str(link.hostname), before, calls)


def write(platform: Platform, root: Path) -> list[Path]:
    """Write the files under ``root``, a checkout or a package of one's own; gives their paths.

    Raises:
        ScaffoldError: one of them exists.
    """
    site = f"fixtures/sites/{platform.module}"
    contents = {
        f"providers/{platform.module}.py": PROVIDER,
        f"{site}/__init__.py": '"""The emulated site."""\n',
        f"{site}/site.py": SITE,
        f"{site}/README.md": FACTS,
        f"tests/providers/test_{platform.module}.py": TESTS,
    }
    for name in contents:
        if (root / name).exists():
            raise ScaffoldError(f"{root / name} exists; nothing was written")
    month = f"{datetime.now(UTC):%Y-%m}"
    listed = "\n".join(f"| {call.line} | observed in a bundle, {month} |" for call in platform.calls)
    values = {
        "NAME": platform.name,
        "MODULE": platform.module,
        "CLASS": platform.class_name,
        "HOST": platform.host,
        "BEFORE": platform.before,
        "CODE": CODE,
        "CALLS": f"\n{listed}" if listed else "",
    }
    paths = []
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(text, values), encoding="utf-8")
        paths.append(path)
    return paths


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"<<(\w+)>>", lambda match: values[match[1]], text)


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    if archive.getinfo(name).file_size > MOST_BUNDLE_BYTES:
        raise ValueError(f"{name} is too large")
    return parse_json(archive.read(name))


def _keys(archive: zipfile.ZipFile, body: object) -> tuple[str, ...]:
    """The names at the top of a JSON answer."""
    try:
        value = _json(archive, str(body))
    except (KeyError, ValueError, RecursionError):
        return ()
    names = [str(name) for name in value] if isinstance(value, dict) else []
    return tuple(f"`{name}`" for name in names if KEY.fullmatch(name))[:MOST_KEYS]


def _varying(match: re.Match[str]) -> str:
    """An ellipsis for a long word with a digit in it, which differs from image to image."""
    return "…" if any(map(str.isdigit, match[0])) else match[0]


def _calls(document: Mapping[str, Any], archive: zipfile.ZipFile) -> list[Call]:
    """Each kind of call once, in the order in which they were first made; values of queries are left out."""
    found: dict[tuple[str, str, str], Call] = {}
    for entry in document.get("entries", ()):
        parts = urlsplit(str(entry.get("url", "")))
        if "messages" in entry or not parts.hostname:
            continue
        names = "&".join(dict.fromkeys(name for name, _ in parse_qsl(parts.query, keep_blank_values=True)))
        path = re.sub(r"[0-9a-zA-Z_.-]{6,}", _varying, parts.path)
        path = (path + (f"?{names}" if names else "")).replace("|", "%7C").replace("`", "%60")
        headers = entry.get("headers") or {}
        kind = str(headers.get("content-type", "")).partition(";")[0].replace("|", "")
        key = (re.sub(r"[^A-Z]", "", str(entry.get("method", "GET"))), parts.hostname, path)
        if key not in found and len(found) < MOST_CALLS:
            keys = _keys(archive, entry.get("body")) if entry.get("body") and "json" in kind else ()
            found[key] = Call(*key, int(entry.get("status") or 0), kind, keys)
    return list(found.values())


PROVIDER = '''"""<<CLASS>>: which product this is, and who runs it."""

from __future__ import annotations

from scraper.contract import (
    CheckedReply,
    CloudfilmError,
    Deployment,
    Field,
    Instance,
    LinkExpired,
    NoSuchStudy,
    Number,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    WadoUri,
    route,
)


class SeriesReply(Reply):
    uid: str = Field(alias="seriesUid")
    number: Number = Field(None, alias="seriesNumber")
    description: str = ""
    images: dict[str, str]  # SOP Instance UID -> address of its file


class StudyReply(CheckedReply):
    good = ("OK",)
    uid: str = Field("", alias="studyUid")
    series: tuple[SeriesReply, ...] = ()

    def refusal(self) -> CloudfilmError:
        return LinkExpired(self.message) if self.code == "EXPIRED" else NoSuchStudy(self.message)


class <<CLASS>>(Provider):
    name = "<<NAME>>"
    deployments = (Deployment("<<HOST>>", "the hospital's name"),)
    example = "https://<<HOST>><<BEFORE>><<CODE>>"

    @route(r"<<BEFORE>>(?P<code>[0-9A-Za-z]+)")
    async def by_code(self, link: ShareLink, session: Session) -> list[Series]:
        study = await session.get(link.join(f"/api/study/{link['code']}"), reply=StudyReply)
        return [
            Series(
                study_instance_uid=study.uid,
                series_instance_uid=series.uid,
                number=series.number,
                description=series.description,
                expected=len(series.images),
                instances=tuple(Instance(uid, WadoUri(link.join(path))) for uid, path in series.images.items()),
            )
            for series in study.series
        ]
'''

SITE = '''"""The emulated site; see README.md."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fixtures.dicom import chest_ct
from fixtures.sites import Address, application, as_json

ADDRESS = Address("<<HOST>>")
OPEN, EXPIRED, UNKNOWN = "<<CODE>>", "Expired1", "Unknown1"


def link(code: str = OPEN) -> str:
    return f"{ADDRESS.origin}<<BEFORE>>{code}"


class <<CLASS>>Site:
    """One study behind one code, and a code that is over."""

    def __init__(self) -> None:
        self.study = chest_ct(slices=6, size=64, seed=100)
        self.addresses = (ADDRESS,)
        self.originals = self.study.files
        self.app = application(Route("/api/study/{code}", self._listed), Route("/files/{uid}", self._file))

    async def _listed(self, request: Request) -> Response:
        match request.path_params["code"]:
            case "<<CODE>>":
                series = [
                    {
                        "seriesUid": item.uid,
                        "seriesNumber": item.number,
                        "description": item.description,
                        "images": {uid: f"/files/{uid}" for uid in (i.sop_instance_uid for i in item.instances)},
                    }
                    for item in self.study.series
                ]
                return as_json({"code": "OK", "studyUid": self.study.study_instance_uid, "series": series})
            case "Expired1":
                return as_json({"code": "EXPIRED", "message": "链接已过期"})
        return as_json({"code": "NONE", "message": "检查不存在"})

    async def _file(self, request: Request) -> Response:
        data = self.originals.get(request.path_params["uid"])
        return Response(status_code=404) if data is None else Response(data, media_type="application/dicom")
'''

FACTS = """# <<NAME>>, emulated

| what | how sure |
|---|---|
| the link's shape, the call that lists a study, one file for each image | assumed |<<CALLS>>

Refuses: an unknown code, a code that is over, an unknown file. Decoys: none yet.
"""

TESTS = '''"""<<NAME>>: what its site gives and refuses."""

import pytest

from fixtures.sites.<<MODULE>> import site
from fixtures.world import World
from providers.<<MODULE>> import <<CLASS>>
from scraper.contract import LinkExpired, NoSuchStudy
from scraper.core.link import parse_url
from scraper.testing import Case, check, rows

SITE = site.<<CLASS>>Site()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
CASES = (
    Case("opens", site.link(), series=SERIES),
    Case("expired", site.link(site.EXPIRED), raises=LinkExpired, says="链接已过期"),
    Case("unknown", site.link(site.UNKNOWN), raises=NoSuchStudy, says="检查不存在"),
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(<<CLASS>>, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("url", ["https://<<HOST>>/", "https://<<HOST>>/help"])
def test_not_ours(url):
    assert <<CLASS>>.owns(parse_url(url)) is None
'''
