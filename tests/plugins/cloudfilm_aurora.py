"""Aurora Cloud Film, an invented platform, plugged in from outside as a stranger's package would be."""

from __future__ import annotations

import asyncio

from scraper.contract import (
    PHONE_LAST4,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    Discovered,
    Field,
    Instance,
    LinkExpired,
    NotOriginalDicom,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    WadoUri,
)


class EntryReply(Reply):
    code: str
    message: str = ""
    token: str = ""


class SeriesReply(Reply):
    uid: str = Field(alias="seriesUid")
    count: int | None = Field(None, alias="imageCount")
    number: int = Field(alias="seriesNumber")
    images: dict[str, str]


class StudyReply(Reply):
    uid: str = Field(alias="studyUid")
    series: list[SeriesReply]


class Aurora(Provider):
    name = "aurora"
    route = r"/s/(?P<code>[0-9A-Za-z]{8})"
    asks = (PHONE_LAST4,)
    when_asked = "phone_last4, where the share wants it"
    serves = "Part 10 files by WADO-URI"
    facts = "tests/aurora.py"
    deployments = (
        Deployment("film.aurora.test", "First Hospital"),
        Deployment("film.lakeside.test", "Lakeside"),
        Deployment("film.harbour.test", "Harbour"),
        Deployment("film.meadow.test", "Meadow"),
    )
    example = "https://film.aurora.test/s/Ab12Cd34"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        asked = {"code": link["code"]}
        entry = await session.post(link.join("/api/enter"), json=asked, reply=EntryReply)
        if entry.code == "PHONE":
            asked["phone"] = session.answer(PHONE_LAST4)
            entry = await session.post(link.join("/api/enter"), json=asked, reply=EntryReply)
            if entry.code == "PHONE":
                raise CredentialsRefused(PHONE_LAST4.name, entry.message, host=link.host)
        if entry.code == "EXPIRED":
            raise LinkExpired(entry.message, host=link.host)
        if entry.code == "PICTURES":
            raise NotOriginalDicom(entry.message, host=link.host)
        headers = {"X-Token": entry.token}
        study = await session.get(link.join("/api/study"), headers=headers, reply=StudyReply)
        for series in study.series:
            yield Series(
                study_instance_uid=study.uid,
                series_instance_uid=series.uid,
                number=series.number,
                expected=series.count,
                instances=tuple(Instance(uid, WadoUri(link.join(url), headers)) for uid, url in series.images.items()),
            )


class Dusk(Provider):
    """A provider with a bug."""

    name = "dusk"
    route = r"/dusk/(?P<code>\w+)"
    deployments = (Deployment("film.dusk.test", "Dusk Hospital"),)
    example = "https://film.dusk.test/dusk/1"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        if link["code"] == "cancels":
            raise asyncio.CancelledError
        yield Series("", str(1 // 0))
