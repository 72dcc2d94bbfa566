"""Request a study's files from Orthanc's own REST service, if a viewer was seen to use it.

Its older Web Viewer shows pictures only, while the originals stand at ``/instances/{id}/file`` for whoever may read them.
Source: "REST API of Orthanc", book.orthanc-server.com, and its plugins' calls (``web-viewer``, ``osimis-viewer``), November 2026.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import with_instances
from scraper.capture.patients import MAX_ASKED, left_out
from scraper.capture.request.wado_uri import is_dicom
from scraper.core.model import Instance, Request, Series, Study, WadoUri
from scraper.core.reasons import Reason
from scraper.session import Session
from scraper.session.browser.traffic import WEBSOCKET_OUT, Exchange

MAX_SERIES: Final = 500
AT_ONCE: Final = 4
_ID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}"  # SHA-1 in five groups: no other server names its resources so
_CALL: Final = re.compile(
    rf"^(?P<root>https?://[^?#]+?)(?:/(?:web-viewer|osimis-viewer|stone-webviewer|volview))?"
    rf"/(?P<level>studies|series|instances|images)/(?:[a-z]+\d*-)?(?P<id>{_ID})"
)


@dataclass(frozen=True, slots=True)
class OrthancService:
    """The service: its address, the page's headers, and the resources that the viewer asked for, the last one last."""

    url: str
    headers: Mapping[str, str]
    resources: tuple[tuple[str, str], ...]


def service_of(exchanges: Sequence[Exchange]) -> OrthancService | None:
    """The Orthanc that the viewer speaks to; None where it speaks to none."""
    calls = [
        (match, exchange)
        for exchange in exchanges
        if exchange.ok and exchange.kind != WEBSOCKET_OUT and (match := _CALL.match(exchange.url))
    ]
    if not calls:
        return None
    match, last = calls[-1]
    resources = dict.fromkeys((call["level"], call["id"]) for call, _ in calls if call["root"] == match["root"])
    return OrthancService(match["root"], own_headers(last), tuple(resources))


class Orthanc:
    """Asks one Orthanc for the study that a viewer shows.

    Args:
        session: the link's conversation.
        service: as ``service_of`` found it.
    """

    def __init__(self, session: Session, service: OrthancService) -> None:
        self._session = session
        self._service = service
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def series(self) -> list[Series]:
        """Every series of the study with every instance; nothing where the service gives no files.

        Raises:
            CloudfilmError: it does not answer.
        """
        shown = await self._study_of(*self._service.resources[-1])
        study = await self._json(f"studies/{shown}")
        every = await self._series_of(study)
        source = every[0].instances[0].source if every else None
        if not isinstance(source, WadoUri) or not await is_dicom(self._session, source):
            return []
        lost = Counter[Reason]()
        for number, name in enumerate(await self._further(shown), 1):
            other = await self._json(f"studies/{name}") if number <= MAX_ASKED else {}
            if (
                number <= MAX_ASKED
                and study.get("ParentPatient")
                and study["ParentPatient"] == other.get("ParentPatient")
            ):
                every += await self._series_of(other)
            else:
                lost[Reason.ANOTHER_PATIENT if number <= MAX_ASKED else Reason.TOO_MANY_STUDIES] += 1
        return [replace(every[0], problems=tuple(left_out(lost))), *every[1:]]

    async def _series_of(self, study: Mapping[str, Any]) -> list[Series]:
        names = [name for name in study.get("Series", ()) if isinstance(name, str)][:MAX_SERIES]
        return [item for item in await asyncio.gather(*(self._series(name, study) for name in names)) if item.instances]

    async def _further(self, shown: str) -> list[str]:
        """Orthanc's names of the other studies that the viewer asked for, or for a series of."""
        named = [(level, name) for level, name in self._service.resources if level in ("studies", "series")]
        series = [name for level, name in named if level == "series"][: 2 * MAX_ASKED]
        studies = [name for level, name in named if level == "studies"]
        studies += [await self._study_of("series", name) for name in series]
        return [name for name in dict.fromkeys(studies) if name and name != shown]

    async def _study_of(self, level: str, name: str) -> str:
        """Orthanc's name of the study that a resource belongs to."""
        if level == "studies":
            return name
        if level in ("instances", "images"):
            name = str((await self._json(f"instances/{name}")).get("ParentSeries", ""))
        return str((await self._json(f"series/{name}")).get("ParentStudy", ""))

    async def _series(self, name: str, study: Mapping[str, Any]) -> Series:
        async with self._slots:
            about = await self._json(f"series/{name}")
            listed = await self._list(f"series/{name}/instances")
        tags, of_study = _tags(about), _tags(study)
        uid, study_uid = tags.get("SeriesInstanceUID", ""), of_study.get("StudyInstanceUID", "")
        instances = [self._instance(item) for item in listed]
        number = tags.get("SeriesNumber", "")
        described = Series(
            study_uid,
            uid,
            number=int(number) if number.lstrip("-").isdecimal() else None,
            description=tags.get("SeriesDescription", ""),
            modality=tags.get("Modality", ""),
            study=Study(
                study_uid, of_study.get("StudyDate", ""), tags.get("Modality", ""), of_study.get("StudyDescription", "")
            ),
        )
        return with_instances(described, instances, len({item.sop_instance_uid for item in instances}))

    def _instance(self, item: Mapping[str, Any]) -> Instance:
        tags = _tags(item)
        number = tags.get("InstanceNumber", "")
        url = f"{self._service.url}/instances/{item.get('ID', '')}/file"
        return Instance(
            tags.get("SOPInstanceUID", ""),
            WadoUri(url, self._service.headers),
            number=int(number) if number.lstrip("-").isdecimal() else None,
        )

    async def _json(self, path: str) -> Mapping[str, Any]:
        response = await self._session.request(Request(f"{self._service.url}/{path}", headers=self._service.headers))
        value = response.json() if response.ok else None
        return value if isinstance(value, Mapping) else {}

    async def _list(self, path: str) -> list[Mapping[str, Any]]:
        response = await self._session.request(Request(f"{self._service.url}/{path}", headers=self._service.headers))
        value = response.json() if response.ok else None
        return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _tags(resource: Mapping[str, Any]) -> dict[str, str]:
    """The main DICOM tags that Orthanc gives of a resource, by keyword."""
    tags = resource.get("MainDicomTags")
    return {str(name): str(value) for name, value in tags.items()} if isinstance(tags, Mapping) else {}
