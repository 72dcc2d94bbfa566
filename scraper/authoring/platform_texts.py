"""The texts of a new provider's files; ``<<NAME>>`` and the like are filled in by ``platform_files``."""

from __future__ import annotations

PROVIDER = '''"""<<CLASS>>: which product this is, and who runs it."""

from __future__ import annotations

from scraper.contract import (
    Call,
    CheckedReply,
    Deployment,
    Field,
    LinkExpired,
    NoSuchStudy,
    Number,
    Provider,
    Response,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    StudyRow,
)


class SeriesReply(SeriesRow):  # its images: an object, SOP Instance UID -> address of the file
    uid: str = Field(alias="seriesUid")
    number: Number = Field(None, alias="seriesNumber")


class StudyReply(CheckedReply, StudyRow):
    good = ("OK",)
    means = {"EXPIRED": LinkExpired}
    otherwise = NoSuchStudy
    uid: str = Field("", alias="studyUid")
    series: tuple[SeriesReply, ...] = ()


class <<CLASS>>(Provider):
    name = "<<NAME>>"
    route = r"<<BEFORE>>(?P<code>[0-9A-Za-z]+)"
    deployments = (Deployment("<<HOST>>", "the hospital's name"),)
    entry = Call("/api/study/{code}")
    example = "https://<<HOST>><<BEFORE>><<CODE>>"

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        return response.checked(StudyReply).described(link.url)
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

RECORDED_SITE = '''"""The emulated site, as a recording showed it; see README.md."""

from __future__ import annotations

from fixtures.sites.recorded import RecordedSite, answers_beside


class <<CLASS>>Site(RecordedSite):
    """One study behind one link: ``answers.json`` has the calls; what is asked otherwise is refused."""

    def __init__(self) -> None:
        super().__init__(answers_beside(__file__))
'''

RECORDED_FACTS = """# <<NAME>>, emulated

| what | how sure |
|---|---|
| the link's shape | assumed, from one link |<<CALLS>><<ASSUMED>>

`answers.json` has the calls between the link and the images as they were recorded, every value of a person replaced, long
lists cut; the images are an invented patient's. Refuses: what was asked otherwise than recorded. What the real site says of a
link that is over, of a wrong code or of a study without images is not known yet: add it here, in `site.py` and in the tests.
No decoys yet.
"""

OTHER_IMPORT = "from scraper.contract import CloudfilmError\n"
ONE_CASE = """CASES = (Case("opens", SITE.link, answers=SITE.answers, series=SITE.series),)"""
TWO_CASES = """CASES = (
    Case("opens", SITE.link, answers=SITE.answers, series=SITE.series),
    Case("another link", SITE.other_link, answers=SITE.answers, raises=CloudfilmError),
)"""

RECORDED_TESTS = '''"""<<NAME>>: what its site gives and refuses."""

import pytest

from fixtures.sites.<<MODULE>>.site import <<CLASS>>Site
from fixtures.world import World
from providers.<<MODULE>> import <<CLASS>>
<<OTHER_IMPORT>>from scraper.core.link import parse_url
from scraper.testing import Case, check, rows

SITE = <<CLASS>>Site()
<<CASES>>


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(<<CLASS>>, case, world, tmp_path, via)
        assert case.raises or world.unexpected == []


@pytest.mark.parametrize("url", ["https://<<HOST>>/", "https://<<HOST>>/help"])
def test_not_ours(url):
    assert <<CLASS>>.owns(parse_url(url)) is None
'''
