"""Any other viewer: the browser shows it, and what it receives is taken."""

from __future__ import annotations

from collections.abc import Sequence

from scraper.contract import WECHAT_PHONE, AsyncIterator, Discovered, Provider, Session, ShareLink


class Universal(Provider):
    name = "universal"
    route = r".*"
    names_page = False  # what the viewer itself sends is repeated, and nothing is added
    when_asked = "whatever its form asks"
    serves = "Part 10 files, WADO-RS, WADO-URI, zips, WebSocket messages, as the viewer gets them"
    verified = "OHIF and dwv on Orthanc, and emulated pages"
    facts = "none; whatever a page loads"

    def __init__(self, recognisers: Sequence[Provider] = ()) -> None:
        self.recognisers = tuple(recognisers)  # providers that know a viewer on any host by the calls it makes

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        from scraper.capture import Capture  # loaded where it is needed: it takes pydicom along

        for series in await Capture(link, session, phone=WECHAT_PHONE, products=self.recognisers).run():
            yield series
