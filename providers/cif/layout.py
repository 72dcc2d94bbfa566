"""The GE Zero Footprint viewer's layout of a study: the message that names every series and object.

facts: fixtures/sites/cif/README.md
"""

from __future__ import annotations

import zlib

from scraper.contract import CloudfilmError, Field, Reason, Reply, Session, SiteBusy, decode_text, gone, read

ERROR = "CMDERROR"
MAX_LAYOUT = 256 * 2**20  # bytes of a study's layout, unpacked


class Name(Reply):
    family: str | None = Field("", alias="Family")
    given: str | None = Field("", alias="Given")


class PersonName(Reply):
    whole: str | None = Field("", alias="PersonNameString")
    single: Name | None = Field(None, alias="SingleByte")
    ideographic: Name | None = Field(None, alias="Ideographic")
    phonetic: Name | None = Field(None, alias="Phonetic")

    def __str__(self) -> str:
        """As DICOM writes it (PS3.5 6.2.1)."""
        parts = [f"{name.family or ''}^{name.given or ''}".strip("^") if name else "" for name in self._groups]
        return self.whole or "=".join(parts).rstrip("=")

    @property
    def _groups(self) -> tuple[Name | None, ...]:
        return (self.single, self.ideographic, self.phonetic)


class SopReply(Reply):
    uid: str = Field(alias="SopInstanceUid")
    sop_class: str | None = Field("", alias="SopClassUid")
    number: str | None = Field("", alias="ImageNumber")
    frames: str | None = Field("1", alias="NumberOfFrames")


class SeriesReply(Reply):
    uid: str = Field(alias="SeriesInstanceUid")
    number: str | None = Field("", alias="SeriesNumber")
    description: str | None = Field("", alias="SeriesDescription")
    modality: str | None = Field("", alias="SeriesModality")
    count: str | None = Field("", alias="ImageCount")
    sops: list[SopReply] | None = Field(None, alias="Sops")


class Layout(Reply):
    uid: str = Field(alias="StudyInstanceUid")
    name: PersonName | str | None = Field("", alias="PatientName")
    patient: str | None = Field("", alias="PatientId")
    sex: str | None = Field("", alias="PatientSex")
    born: str | None = Field("", alias="PatientBirthDate")
    accession: str | None = Field("", alias="AccessionNumber")
    date: str | None = Field("", alias="StudyDate")
    time: str | None = Field("", alias="StudyTime")
    description: str | None = Field("", alias="StudyDescription")
    series: list[SeriesReply] = Field(alias="Series")


def of_message(message: bytes, url: str, session: Session) -> Layout | None:
    """The layout in a message: JSON, packed or not; None for any other message.

    Raises:
        StudyGone, SiteBusy: the site refuses the study.
    """
    if message.startswith(b"\x1f\x8b"):
        try:
            message = zlib.decompressobj(31).decompress(message, MAX_LAYOUT)
        except zlib.error:
            return None
    if message.startswith(ERROR.encode()):
        raise _refusal(decode_text(message), session)
    if message.lstrip()[:1] != b"{" or b'"StudyInstanceUid"' not in message or b'"Series"' not in message:
        return None
    return read(message, Layout, url)


def _refusal(message: str, session: Session) -> CloudfilmError:
    said = message.removeprefix(ERROR).strip()
    if "timeout" in said.lower():
        return SiteBusy(said, host=session.link.host, why=Reason.REFUSED_FOR_NOW)
    return gone(said, host=session.link.host)
