"""A site whose signing key has changed, in its page and its server alike: its page still shows the study."""

import pytest

from fixtures.sites.shdc import site as shdc
from fixtures.world import World
from scraper.batch.workers.local import LocalWorker
from scraper.batch.workers.protocol import Job, done
from scraper.core.model import Status, Via
from scraper.core.settings import BrowserUse
from scraper.pipeline.run import Run
from scraper.session.browser import find_browser
from scraper.testing import Silent, nobody, settings_in

pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason="no browser on this machine"),
    pytest.mark.thorough,
]


@pytest.fixture
def changed_key(monkeypatch):
    key = shdc.KEY[::-1]
    monkeypatch.setattr(shdc, "VIEWER_PAGE", shdc.VIEWER_PAGE.replace(shdc.KEY, key))
    monkeypatch.setattr(shdc, "KEY", key)


@pytest.mark.usefixtures("changed_key")
async def test_a_new_key_costs_the_direct_way_and_no_study(tmp_path):
    with World(shdc.ShdcSite()) as world:
        settings = settings_in(world, tmp_path, browser=BrowserUse.AUTO)
        async with Run(settings, Silent(), nobody) as run:
            result = await run.grab(shdc.VIEWER)
    assert (result.status, result.via, result.provider) == (Status.COMPLETE, Via.BROWSER, "universal")
    assert result.counts.saved == result.counts.expected > 0


@pytest.mark.usefixtures("changed_key")
async def test_a_new_key_costs_a_batch_no_study(tmp_path):
    with World(shdc.ShdcSite()) as world:
        settings = settings_in(world, tmp_path, browser=BrowserUse.AUTO)
        async with LocalWorker(settings, 1) as worker:
            outcome = await done(worker, Job("key", shdc.VIEWER, shdc.VIEWER, settings))
    ended = outcome.document
    assert (ended["status"], ended["via"], ended["provider"]) == ("complete", "browser", "universal")
    assert ended["instances"]["saved"] == ended["instances"]["expected"] > 0
