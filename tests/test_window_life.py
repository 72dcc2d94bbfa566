"""Two windows, a reload in mid-run, a laptop that slept, a window that is closed over its work."""

from types import SimpleNamespace

import pytest

from fixtures.dicom import chest_ct
from fixtures.sites.shdc import site
from fixtures.world import World
from scraper.app.start import GRACE_S, WORKING_GRACE_S, ended_with_its_pages
from scraper.session.browser import find_browser
from tests import aurora
from tests.aurora import Fault
from tests.tabs import PATIENCE_MS, browser_page, expect
from tests.test_cli import site_of, up
from tests.test_window import paste, says, window

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
STUDY = chest_ct(slices=12, size=64, seed=11)


@needs_browser
@pytest.mark.thorough
def test_two_windows_show_the_same(tmp_path):
    with (
        World(site.ShdcSite(STUDY)) as world,
        window(tmp_path, world) as started,
        browser_page(started.address) as page,
    ):
        other = page.context.new_page()
        other.set_default_timeout(PATIENCE_MS)
        other.goto(started.address)
        paste(page, site.REPORT_WITH_CODE)
        says(other, ".doing", "需要您填写")
        other.fill(".ask input", site.SECURITY_CODE)
        other.press(".ask input", "Enter")
        says(page, ".verdict", "完整")
        says(other, ".verdict", "完整")
        page.on("dialog", lambda dialog: dialog.accept())
        page.close()
        other.click(".study .row button:has-text('删除')")
        other.click("dialog .danger")
        expect(other.locator(".study")).to_have_count(0, timeout=PATIENCE_MS)


@needs_browser
@pytest.mark.thorough
def test_a_reload_in_the_middle_then_stop_and_go_on(tmp_path):
    served = site_of(STUDY)
    stuck = next(series for series in STUDY.series if series.number == 2).instances[-1]
    served.fail(stuck.sop_instance_uid, Fault.SILENT)
    count = len(STUDY.instances)
    with (
        up(served),
        window(tmp_path, SimpleNamespace(options=["--connect-to", served.connect_to[0]])) as started,
        browser_page(started.address) as page,
    ):
        paste(page, aurora.LINK)
        says(page, ".doing", f"已收到 {count - 1}/{count} 幅")
        page.on("dialog", lambda dialog: dialog.accept())  # it asks before it is left
        page.reload()
        says(page, ".doing", f"已收到 {count - 1}/{count} 幅")
        expect(page.locator(".card")).to_have_count(1)
        page.click(".card button:has-text('停止')")
        says(page, ".doing", "已停止")
        before = served.requests.total()
        page.click(".card button:has-text('继续')")
        says(page, ".verdict", "完整")
        assert served.requests.total() - before < count  # what was there was not fetched again


@needs_browser
@pytest.mark.thorough
def test_a_pause_holds_the_fetch_and_goes_on_in_the_same_run(tmp_path):
    served = site_of(STUDY)
    served.answers_at_most = 3
    count = len(STUDY.instances)
    with (
        up(served),
        window(tmp_path, SimpleNamespace(options=["--connect-to", served.connect_to[0]])) as started,
        browser_page(started.address) as page,
    ):
        paste(page, aurora.ASKS)
        page.fill(".ask input", aurora.PHONE)
        page.press(".ask input", "Enter")
        says(page, ".doing", f"已收到 3/{count} 幅")
        page.click(".card button:has-text('暂停')")
        says(page, ".doing", "已暂停")
        under_way = served.asked_for
        served.answers_at_most = None
        says(page, ".doing", f"已收到 {under_way}/{count} 幅")
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        says(page, ".doing", "已暂停")
        assert served.asked_for == under_way < count  # what was under way ended, and nothing followed
        served.token += 1  # the site forgets the session meanwhile
        page.click(".card button:has-text('继续')")
        says(page, ".verdict", "完整")
        assert page.locator(".ask input").count() == 0  # the person's answer served on
        assert served.requests["/api/enter"] == 4  # each time without and with it


@needs_browser
@pytest.mark.thorough
def test_stop_ends_a_paused_run(tmp_path):
    served = site_of(STUDY)
    served.answers_at_most = 3
    with (
        up(served),
        window(tmp_path, SimpleNamespace(options=["--connect-to", served.connect_to[0]])) as started,
        browser_page(started.address) as page,
    ):
        paste(page, aurora.LINK)
        says(page, ".doing", f"已收到 3/{len(STUDY.instances)} 幅")
        page.click(".card button:has-text('暂停')")
        says(page, ".doing", "已暂停")
        page.click(".card button:has-text('停止')")
        says(page, ".doing", "已停止")
        served.answers_at_most = None
        page.click(".card button:has-text('继续')")
        says(page, ".verdict", "完整")


class Clock:
    """Goes on by so many seconds with each look."""

    def __init__(self, *steps):
        self.now, self.steps = 1000.0, list(steps)

    def __call__(self):
        self.now += self.steps.pop(0) if self.steps else 0.5
        return self.now


@pytest.mark.parametrize(
    "steps, is_busy, looks",
    [
        pytest.param((), False, GRACE_S / 0.5, id="closed"),
        pytest.param((), True, WORKING_GRACE_S / 0.5, id="closed over its work"),
        pytest.param((0.5, 0.5, 3600.0), False, GRACE_S / 0.5 + 3, id="slept an hour"),
        pytest.param((0.5, 3600.0, 0.5, 7200.0), False, GRACE_S / 0.5 + 4, id="slept twice"),
    ],
)
async def test_it_ends_after_its_pages_and_not_for_having_slept(steps, is_busy, looks):
    seen = []
    clock = Clock(*steps)
    board = SimpleNamespace(changed=lambda: None)
    state = SimpleNamespace(pages=0, was_seen=True, left_at=1000.0, is_busy=is_busy, is_ending=False, board=board)

    class Server:
        should_exit = False

    async def pause(_):
        seen.append(clock.now)

    server = Server()
    await ended_with_its_pages(server, state, clock, pause)
    assert server.should_exit
    assert state.is_ending
    assert looks <= len(seen) <= looks + 3
