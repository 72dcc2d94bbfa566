"""One examination as whuh packs it: a job of several calls, with the zip at its end.

facts: fixtures/sites/whuh/README.md
"""

from __future__ import annotations

import contextlib
from functools import partial

from providers.toolkit import envelope
from providers.whuh.service import call, page_headers
from scraper.contract import (
    CloudfilmError,
    Field,
    NotThereYet,
    Reason,
    Reply,
    Request,
    Session,
    ShareLink,
    SiteBusy,
    Study,
)

BY_PATIENT, AS_DICOM = 5, 0
DONE, FAILED = 4, 5
EVERY_S, UP_TO_S = 3.0, 1800.0


class ReportReply(Reply):
    hospital: str = Field(alias="HospitalID")
    number: str = Field("", alias="HospitalNumber")
    id: str = Field(alias="ID")
    patient: str = Field("", alias="PatientID")
    examination: str = Field("", alias="ExaminationID")
    report: str = Field("", alias="ReportID")
    name: str = Field("", alias="PatientName")
    modality: str = Field("", alias="StudyTypeName")
    item: str = Field("", alias="StudyItemName")
    date: str = Field("", alias="CheckDate")

    @property
    def study(self) -> Study:
        key = f"{self.hospital}/{self.examination or self.id}"
        return Study("", self.date, self.modality, self.item, self.name, key)


class JobReply(Reply):
    id: str = Field(alias="File.ID")
    state: int = Field(0, alias="File.CompressStatus")
    url: str = Field("", alias="File.DownloadUrl")


async def pack(link: ShareLink, session: Session, report: ReportReply) -> Request:
    """Have the site pack one examination; returns the request for the zip.

    Raises:
        NotThereYet: its images are still being fetched from the hospital. SiteBusy: they could not be packed.
    """
    there = {"hospitalID": report.hospital, "cloudImageReportID": report.id}
    is_there = await call(link, session, "GetExistImageByCloudImageReportID", there)
    if str(is_there).lower() not in ("true", "1"):
        raise NotThereYet(host=link.host)
    info = {
        "ExaminationID": report.examination,
        "ReportID": report.report,
        "PatientID": report.patient,
        "SeriesInstanceUID": "",
        "PatientName": report.name,
        "StudyTypeName": report.modality,
        "StudyDate": report.date,
        "DownloadSource": BY_PATIENT,
        "ImageDownloadExtentions": AS_DICOM,  # spelt so
    }
    number = report.number or link.params.get("h", "")
    asked = {"hospitalID": report.hospital, "hospitalNumber": number, "info": info}
    begun = await _job(link, session, "GetDownloadCacheInfoByCloudImage", asked)

    async def finished() -> JobReply | None:
        job = await _job(link, session, "GetDownloadStatus", {"hospitalID": report.hospital, "id": begun.id})
        return job if job.state >= DONE else None

    wait = partial(session.poll, finished, every_s=EVERY_S, up_to_s=UP_TO_S, what="packing")
    done = begun if begun.state >= DONE else await wait()
    if done.state == FAILED or not done.url:
        raise SiteBusy(host=link.host, why=Reason.IMAGES_NOT_PACKED)
    record = {"UserID": "", "UserName": "", "DownloadFileID": done.id, "DownloadSource": BY_PATIENT}
    with contextlib.suppress(CloudfilmError):  # the page's own book-keeping
        await call(link, session, "AddDownloadImageRecordInfo", {**record, "HospitalID": report.hospital})
    return Request(link.join(done.url), headers=page_headers(link))


async def _job(link: ShareLink, session: Session, name: str, body: object) -> JobReply:
    return envelope.nested(await call(link, session, name, body), JobReply, link.url)
