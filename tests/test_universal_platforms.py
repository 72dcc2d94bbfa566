"""The pages of known platforms as an unknown viewer: every image, or a code that says why not."""

import pytest

from fixtures.sites.ftimage.site import ACCESSION, FtimageSite
from fixtures.sites.imageservice.site import ImageServiceSite
from fixtures.sites.kayicloud_share import site as kayicloud_share
from fixtures.sites.lanwon.site import LanwonSite
from fixtures.sites.mscpacs.site import MscpacsSite
from fixtures.sites.mtywcloud import site as mtywcloud
from fixtures.sites.sugh import site as sugh
from fixtures.sites.vrpacs.site import VrpacsSite
from fixtures.sites.zfp_image_provider.site import ZfpImageProviderSite
from fixtures.sites.zscloud.site import ZscloudSite, share
from fixtures.world import World
from providers.universal import Universal
from scraper.core.errors import ExitCode
from scraper.core.model import Origin, Via
from scraper.session.browser import find_browser
from scraper.testing import Case, compare, run

pytestmark = [pytest.mark.thorough, pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")]

LANWON, VRPACS, FILM, FTIMAGE = LanwonSite(), VrpacsSite(), ImageServiceSite(), FtimageSite(seen=True)
MTYWCLOUD, ZFP, ZSCLOUD = mtywcloud.MtywcloudSite(), ZfpImageProviderSite(), ZscloudSite(seen=True)
KAYI, SUGH = kayicloud_share.KayicloudShareSite(), sugh.SughSite()
WHOLE = {
    "lanwon": (LANWON, LANWON.viewer_link(), len(LANWON.originals)),
    "vrpacs": (VRPACS, VRPACS.link(), len(VRPACS.originals)),
    "imageservice, a film": (FILM, FILM.film(), len(FILM.originals)),
    "imageservice, a viewer": (FILM, FILM.viewer(), len(FILM.study.instances)),
    "ftimage": (FTIMAGE, FTIMAGE.app_link(ACCESSION), len(FTIMAGE.originals)),
    "mtywcloud": (MTYWCLOUD, mtywcloud.share(mtywcloud.BY_URL), len(MTYWCLOUD.originals)),
    "zscloud": (ZSCLOUD, share("AbC123xyz"), len(ZSCLOUD.study.instances)),
    "zfp-image-provider": (ZFP, ZFP.link(), len(ZFP.originals)),
    "kayicloud-share": (KAYI, KAYI.other_link(), len(KAYI.study.instances)),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_a_page_is_captured_whole(name, tmp_path):
    site, link, count = WHOLE[name]
    with World(site) as world:
        result = await run(Universal, Case(name, link), world, tmp_path, Via.BROWSER)
        assert world.unexpected == []
    assert (result.exit_code, result.counts.saved) == (ExitCode.COMPLETE, count)
    origin = next(series.origin for study in result.studies for series in study.series)
    compare(tmp_path, site.originals, origin)


async def test_a_service_whose_addresses_only_look_like_dicomweb_is_captured_whole(tmp_path):
    """It has no list of series, and is asked for one twice."""
    with World(SUGH) as world:
        result = await run(Universal, Case("sugh", sugh.share(sugh.OPEN)), world, tmp_path, Via.BROWSER)
        assert [item.path.rpartition("/")[2] for item in world.unexpected] == ["series"] * 2
    assert (result.exit_code, result.counts.saved) == (ExitCode.COMPLETE, len(SUGH.study.instances))
    compare(tmp_path, SUGH.originals, Origin.ORIGINAL)


async def test_a_page_of_pictures_is_not_taken_for_a_study(tmp_path):
    with World(MscpacsSite()) as world:
        result = await run(Universal, Case("mscpacs", MscpacsSite.link()), world, tmp_path, Via.BROWSER)
    assert result.exit_code in (ExitCode.UNUSABLE_LINK, ExitCode.NOT_ORIGINAL)
    assert not list(tmp_path.rglob("*.dcm"))
