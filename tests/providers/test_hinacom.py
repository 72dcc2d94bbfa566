"""hinacom: four doors, one viewer; originals rebuilt pixel for pixel from JPEG 2000 or raw, and never from a reduced level."""

import pytest

from fixtures.dicom import JPEG_LS, chest_ct
from fixtures.faults import Fault
from fixtures.sites.hinacom import site
from fixtures.sites.hinacom.site import HinacomSite
from fixtures.world import World
from providers.hinacom import Hinacom
from scraper.core.errors import (
    CredentialsRefused,
    CredentialsRequired,
    LinkExpired,
    NotThereYet,
    PageBehindLink,
    ShareCancelled,
)
from scraper.core.link import parse_url
from scraper.core.model import Origin, Via
from scraper.core.reasons import Reason
from scraper.core.settings import TIMEOUT_S
from scraper.core.timings import Timings
from scraper.registry.catalogue import find
from scraper.testing import Case, check, rows, run

QUICK = Timings(site_scale=0.01)
BROWSER = (Via.BROWSER,)
OPEN = {"password": site.PASSWORD}
REBUILT = Origin.REBUILT
CASES = (
    Case("A: a share with its password", site.SHARE, answers=OPEN, origin=REBUILT, left_out=1, thorough=BROWSER),
    Case("A: a doubled slash", site.SHARE_DOUBLE_SLASH, answers=OPEN, origin=REBUILT, left_out=1),
    Case("A: Beijing 114, its port kept", site.BEIJING_SHARE, answers=OPEN, origin=REBUILT, left_out=1),
    Case("A: asks for the password", site.SHARE, raises=CredentialsRequired, thorough=BROWSER),
    Case("A: a wrong password", site.SHARE, answers={"password": "wrong"}, raises=CredentialsRefused, thorough=BROWSER),
    Case("A: a cancelled share", site.CANCELLED, answers=OPEN, raises=ShareCancelled, thorough=BROWSER),
    Case("A: the address of a running session", site.SESSION_BOUND, raises=PageBehindLink),
    Case("A: the address of a report", site.REPORT_ADDRESS, raises=PageBehindLink),
    Case("B: a health commission", site.COMMISSION_SHARE, origin=REBUILT, left_out=1, thorough=BROWSER),
    Case("B: expired", site.COMMISSION_EXPIRED, raises=LinkExpired, says="已过期"),
    Case("C: straight to the images", site.VIEW_IMAGE, origin=REBUILT, left_out=1, thorough=BROWSER),
    Case("C: a viewer's address that says where it came from", site.VIEWER_WITH_WAY_BACK, origin=REBUILT, left_out=1),
    Case("C: a login page that says where it leads", site.LOGIN_WITH_WAY_BACK, origin=REBUILT, left_out=1),
    Case("C: a viewer's address without its cookies", site.VIEWER, raises=PageBehindLink),
    Case("C: by the study's page", site.STUDY_VIEW, origin=REBUILT, left_out=1),
    Case("D: a list, by phone", site.LIST, answers={"phone_last4": site.PHONE_LAST4}, origin=REBUILT, left_out=1),
    Case(
        "D: a list, by ID card", site.LIST_BY_ACCOUNT, answers={"id_last4": site.ID_LAST4}, origin=REBUILT, left_out=1
    ),
    Case("D: asks for the digits", site.LIST, raises=CredentialsRequired),
    Case(
        "D: wrong digits", site.LIST, answers={"phone_last4": "0000"}, raises=CredentialsRefused, says="验证信息不正确"
    ),
)
NOT_OURS = (f"{site.CLOUD.origin}/help", f"{site.HOSPITAL.origin}/")


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(HinacomSite()) as world:
        await check(Hinacom, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "hinacom"


SHARED = Case("a share", site.SHARE, answers=OPEN, origin=REBUILT, left_out=1)


async def test_raw_pixels_where_there_is_no_jpeg_2000(tmp_path):
    with World(HinacomSite(j2k=False)) as world:
        await check(Hinacom, SHARED, world, tmp_path)


async def test_signed_pixels(tmp_path):
    study = chest_ct(slices=4, size=96, seed=31, signed=True, syntax=JPEG_LS, charset="ISO_IR 192")
    with World(HinacomSite(study)) as world:
        await check(Hinacom, SHARED, world, tmp_path)


async def test_constant_frames_are_asked_for_again(tmp_path):
    with World(HinacomSite(stubs=5)) as world:
        await check(Hinacom, SHARED, world, tmp_path)


async def test_constant_frames_in_either_form_are_asked_for_again_after_the_pause(tmp_path):
    with World(HinacomSite(stubs=8, stubs_an_image=4)) as world:  # two tries, each as JPEG 2000 and raw
        await check(Hinacom, SHARED, world, tmp_path, timings=QUICK)


async def test_frames_that_stay_constant_are_named_and_nothing_is_kept_of_them(tmp_path):
    with World(HinacomSite(stubs=99, stubs_an_image=99)) as world:
        result = await run(Hinacom, SHARED, world, tmp_path, timings=QUICK)
    assert result.exit_code == 7
    assert (result.counts.saved, result.counts.failed) == (0, result.counts.expected)


async def test_a_session_that_is_gone_for_good_ends_the_run_at_once(tmp_path):
    with World(HinacomSite()) as world:
        world.faults.plan("/imageservice/", Fault.LAPSED, times=9999)
        result = await run(Hinacom, SHARED, world, tmp_path)
        assert result.exit_code in (7, 9)
        assert len(world.requests(path="/t/0a1b2c3d4e5f")) == 2  # from the share link, once more
        jobs = 6
        assert len(world.requests(path="/imageservice")) <= 2 * jobs


async def test_a_study_that_is_staged_first(tmp_path):
    case = Case("staged", site.COMMISSION_SHARE, origin=REBUILT, left_out=1)
    with World(HinacomSite(staged=3)) as world:
        await check(Hinacom, case, world, tmp_path, timings=QUICK)


async def test_a_study_that_is_staged_for_too_long_is_not_there_yet(tmp_path):
    case = Case("staged", site.COMMISSION_SHARE, raises=NotThereYet)
    usual = {
        "timeout_s": TIMEOUT_S,
        "timings": Timings(site_scale=0.001),
    }  # a --timeout of one's own would count instead
    with World(HinacomSite(staged=999)) as world:
        await check(Hinacom, case, world, tmp_path, **usual)


async def test_several_studies_behind_one_list_each_in_its_own_folder(tmp_path):
    case = Case("all", site.LIST_OF_ALL, answers={"phone_last4": site.PHONE_LAST4}, origin=REBUILT, left_out=1)
    with World(HinacomSite()) as world:
        result = await check(Hinacom, case, world, tmp_path)
    assert len({study.output for study in result.studies}) == 2
    assert {study.study.uid for study in result.studies} == {
        item.study_instance_uid for item in (HinacomSite().study, HinacomSite().second)
    }


LISTED = Case("all", site.LIST_OF_ALL, answers={"phone_last4": site.PHONE_LAST4}, origin=REBUILT)


def problems(result):
    return [
        problem
        for study in result.studies
        for problem in (*study.problems, *(item for series in study.series for item in series.problems))
    ]


async def test_a_document_in_the_list_of_studies_is_named(tmp_path):
    with World(HinacomSite(document=True)) as world:
        result = await run(Hinacom, LISTED, world, tmp_path)
    assert (result.exit_code, len(result.studies)) == (0, 2)
    (problem_of_images,) = (
        problem for problem in problems(result) if problem.values == {"what": Reason.WITHOUT_IMAGES}
    )
    assert "会诊意见" in problem_of_images.instances[0]


async def test_one_study_of_a_list_that_fails_is_named_and_the_other_kept(tmp_path):
    with World(HinacomSite()) as world:
        world.faults.plan(rf"GetImageSet.*studyId={site.GUID}", Fault.HTML, times=9999)
        result = await run(Hinacom, LISTED, world, tmp_path)
    assert (result.exit_code, result.counts.saved) == (7, len(HinacomSite().second.images))
    assert [problem.code for problem in problems(result) if problem.fatal] == ["fetch-failed"]


async def test_a_share_that_ends_while_it_is_opened(tmp_path):
    emulated = HinacomSite()
    emulated.ended = True
    with World(emulated) as world:
        await check(Hinacom, Case("ended", site.SHARE, answers=OPEN, raises=ShareCancelled), world, tmp_path)


async def test_a_session_that_ends_midway_is_begun_anew(tmp_path):
    with World(HinacomSite()) as world:
        world.faults.plan("/imageservice/", Fault.LAPSED, times=2)
        await check(Hinacom, SHARED, world, tmp_path)
        assert len(world.requests(path="/t/0a1b2c3d4e5f")) > 1
