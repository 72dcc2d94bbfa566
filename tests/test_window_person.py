"""What only a person passes, in the window's flow: the hospital's page opens on a screen, hands do it, the rest goes on alone."""

import time

import pytest

from fixtures.sites.generic_person import site
from fixtures.world import World
from scraper.session.browser import find_browser
from tests.person import Hands, can_sit_down, screen
from tests.tabs import PATIENCE_MS, browser_page
from tests.test_window import faults, paste, says, window

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(find_browser() is None, reason="no browser on this machine"),
    pytest.mark.skipif(not can_sit_down(), reason="no virtual screen here: tools/setup.py installs Xvfb"),
]
CENTRE = (800, 700)  # of the screen: within the browser's window


class Person:
    """Looks where the page's elements are, as the page itself reports it, and reaches for them."""

    def __init__(self, hospital: site.PersonSite, display: str) -> None:
        self.hands, self._hospital = Hands(display), hospital

    def look(self, name: str) -> tuple[float, float]:
        """Where an element of the page is on the screen."""
        self._hospital.pointer = {}
        give_up, sway = time.monotonic() + PATIENCE_MS / 1000, 0
        while not self._hospital.pointer and time.monotonic() < give_up:
            sway = 5 - sway
            self.hands.move(CENTRE[0] + sway, CENTRE[1])
            time.sleep(0.2)
        seen = self._hospital.pointer
        assert seen["real"]
        time.sleep(0.2)  # what was reported last is where the pointer stands
        at, place = self._hospital.pointer["at"], seen["places"][name]
        return CENTRE[0] + sway + place[0] - at[0], CENTRE[1] + place[1] - at[1]

    def drag(self, far: float) -> None:
        """The page's knob, until the site has judged it."""
        judged = self._hospital.passed + self._hospital.refused
        while self._hospital.passed + self._hospital.refused == judged:
            x, y = self.look("knob")
            self.hands.drag((x, y), (x + far, y))
            for _ in range(100):
                if self._hospital.passed + self._hospital.refused != judged:
                    return
                time.sleep(0.1)


@pytest.fixture
def display(monkeypatch):
    with screen() as name:
        monkeypatch.setenv("DISPLAY", name)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        yield name


def test_a_slider_is_dragged_in_the_hospitals_page(tmp_path, display):
    hospital = site.PersonSite()
    with World(hospital) as world, window(tmp_path, world) as started, browser_page(started.address) as page:
        paste(page, site.SLIDE)
        says(page, ".verdict", "未取到")
        says(page, ".doing", "需要手动拖动的滑块")
        assert faults(page) == []
        page.click(".card button:has-text('打开医院网页')")
        says(page, ".doing", "之后会自动继续")
        person = Person(hospital, display)
        person.drag(120)  # not far enough
        assert (hospital.passed, hospital.refused) == (0, 1)
        while not hospital.passed:  # on a busy machine the page sees too few of the hand's moves, and wants them again
            person.drag(site.TRACK)
        says(page, ".verdict", "完整")
        person.hands.close()
    saved = {path.read_bytes() for path in started.output.rglob("*.dcm")}
    assert saved == set(hospital.originals.values())


def test_a_code_by_text_message_is_typed_into_the_hospitals_page(tmp_path, display):
    hospital = site.PersonSite()
    with World(hospital) as world, window(tmp_path, world) as started, browser_page(started.address) as page:
        paste(page, site.SMS)
        page.fill(".ask input", site.PHONE)
        page.press(".ask input", "Enter")
        says(page, ".ask label", "短信验证码")
        page.click(".card button:has-text('打开医院网页')")
        person = Person(hospital, display)
        person.hands.click(*person.look("phone"))
        person.hands.type(site.PHONE)
        person.hands.click(*person.look("send"))
        while site.PHONE not in hospital.sent:
            time.sleep(0.1)
        person.hands.click(*person.look("code"))
        person.hands.type(hospital.sent[site.PHONE])
        person.hands.click(*person.look("enter"))
        says(page, ".verdict", "完整")
        assert page.locator(".ask input").count() == 0
        person.hands.close()
    assert hospital.refused == 0
    saved = {path.read_bytes() for path in started.output.rglob("*.dcm")}
    assert saved == set(hospital.originals.values())
