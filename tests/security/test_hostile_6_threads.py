"""Row 6: other notations are read beside the event loop."""

import threading
from pathlib import Path

from scraper.capture.observe import notation
from scraper.capture.observe.received import Observations
from scraper.session.browser.traffic import Exchange
from tests.security.pump import processor_time

SCRIPT = b"x = " + b'[{"a": ' * 30 + b"x = [1, 2, 3];\n" * 20_000


async def test_hostile_6_other_notations_are_read_beside_the_event_loop(tmp_path: Path, monkeypatch):
    threads: list[threading.Thread] = []
    from_script = notation.from_script

    def noted(text: str):
        threads.append(threading.current_thread())
        return from_script(text)

    monkeypatch.setattr(notation, "from_script", noted)
    exchange = Exchange(
        "https://film.test/a.js", "script", headers={"content-type": "text/plain"}, body=SCRIPT, size=len(SCRIPT)
    )
    with processor_time(20.0):
        await Observations(tmp_path).take([exchange])
    assert threads and threading.main_thread() not in threads
