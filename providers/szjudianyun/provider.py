"""深圳聚点云 (青鸟, szjudianyun): a share page whose images come over Socket.IO 2 (Engine.IO 3)."""

from __future__ import annotations

from functools import partial

from providers.szjudianyun.connections import CLOSED, EVENT, GLUE, Connections, StudyReply, read_study
from scraper.contract import (
    PASSWORD,
    CredentialsRefused,
    Deployment,
    Instance,
    NoSuchStudy,
    OnDemand,
    Problem,
    Provider,
    Series,
    Session,
    ShareLink,
    SiteUnreachable,
    Study,
    at_most,
    parse_int,
)

FILM = "dfyfilm"  # a series that is a picture of the film


class Szjudianyun(Provider):
    name = "szjudianyun"
    route = r"/[\w-]+(?:/[\w.-]*)?\?(?=(?:.*&)?a=[^&#]+)(?=(?:.*&)?b=[^&#]+).*"
    asks = (PASSWORD,)
    when_asked = "nothing; password where the link lacks its own"
    serves = "Part 10 files, one WebSocket message each"
    deployments = (Deployment("qr.szjudianyun.com", "深圳聚点云（青鸟）", "全国"),)
    hosts = ("qinniaofu.coolingesaving.com",)  # of the server, which serves every hospital
    distinctive_routes = (r"/[\w-]+/?\?a=[^&#]+&b=[^&#]+&c=[^&#]+(?:#.*)?",)
    example = "http://qr.szjudianyun.com/abc/?a=H001&b=CT0001&c=123456"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        connections = Connections(link, session)
        return _described(await _open_study(link, connections), connections)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        await session.screen.has_called(r"/socket\.io/\?.*transport=websocket")
        for exchange in session.traffic.exchanges:
            if exchange.kind == "websocket-in" and exchange.read(2) == EVENT.encode():
                packet = exchange.read()
                if b"series" in packet[:4096]:
                    return _described(read_study(packet.decode(), link), Connections(link, session))
        return await self.discover(link, session)


async def _open_study(link: ShareLink, connections: Connections) -> StudyReply:
    """What the server says of the study. One that closes the connection on the question, twice, refuses it so.

    Raises:
        NoSuchStudy: a wrong password in the link, or an unknown study. CredentialsRefused: a wrong one that a person gave.
    """
    refusal: SiteUnreachable | None = None
    for _ in range(2):
        try:
            async with connections.borrow() as connection:
                return connection.study
        except SiteUnreachable as err:
            if err.values.get("why") != CLOSED:
                raise
            if "c" not in link.params:  # an answer is given once
                raise CredentialsRefused(PASSWORD.name) from err
            refusal = err
    raise NoSuchStudy from refusal


def _described(opened: StudyReply, connections: Connections) -> list[Series]:
    """The series that are images; the film's picture is named and left out."""
    study = Study(key=opened.ids.replace(GLUE, "/"))
    found = []
    for name in opened.series:
        is_film = name.startswith(FILM)
        count = 0 if is_film else parse_int(opened.counts.get(name))
        instances = at_most(
            Instance("", OnDemand(partial(connections.image, name, place)), f"{name}/{place}")
            for place in range(1, (count or 0) + 1)
        )
        series = Series(key=name, study=study, instances=instances, expected=count)
        series = series.without([name] if is_film else [], "film picture")
        found.append(series if count is not None else series.with_problem(Problem("count-unknown")))
    return found
