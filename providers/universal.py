"""Any other viewer: the browser shows it, and what it receives is taken.

facts:    none; whatever a page loads
asks:     whatever its form asks
serves:   Part 10 files, WADO-RS, WADO-URI, zips, WebSocket messages, as the viewer gets them
verified: OHIF and dwv on Orthanc, and emulated pages
"""

from __future__ import annotations

from collections.abc import Sequence

from scraper.contract import WECHAT_PHONE, AsyncIterator, Found, Provider, Session, ShareLink


class Universal(Provider):
    name = "universal"
    route = r".*"

    def __init__(self, recognisers: Sequence[Provider] = ()) -> None:
        self.recognisers = tuple(recognisers)  # providers that know a viewer by the calls it makes

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        from scraper.capture import Capture  # loaded where it is needed: it takes pydicom along

        for series in await Capture(link, session, phone=WECHAT_PHONE, recipes=self.recognisers).run():
            yield series
