"""The GE Zero Footprint viewer's layout of a study: the message that names every series and object.

facts: fixtures/sites/cif/README.md
"""

from __future__ import annotations

import zlib

from scraper.contract import (
    CloudfilmError,
    Field,
    Number,
    Reason,
    Reply,
    Session,
    SiteBusy,
    Study,
    decode_text,
    read,
    refusal_error,
)

ERROR = "CMDERROR"
MAX_LAYOUT = 256 * 2**20  # bytes of a study's layout, unpacked


class NameReply(Reply):
    family: str = Field("", alias="Family")
    given: str = Field("", alias="Given")

    def __str__(self) -> str:
        return f"{self.family}^{self.given}".strip("^")


class PersonName(Reply):
    text: str = Field("", alias="PersonNameString")
    single: NameReply = Field(default_factory=NameReply.empty, alias="SingleByte")
    ideographic: NameReply = Field(default_factory=NameReply.empty, alias="Ideographic")
    phonetic: NameReply = Field(default_factory=NameReply.empty, alias="Phonetic")

    def __str__(self) -> str:
        """As DICOM writes it (PS3.5 6.2.1)."""
        groups = (self.single, self.ideographic, self.phonetic)
        return self.text or "=".join(map(str, groups)).rstrip("=")


class InstanceReply(Reply):
    uid: str = Field(alias="SopInstanceUid")
    sop_class: str = Field("", alias="SopClassUid")
    number: Number = Field(None, alias="ImageNumber")
    frames: Number = Field(None, alias="NumberOfFrames")


class SeriesReply(Reply):
    uid: str = Field(alias="SeriesInstanceUid")
    number: Number = Field(None, alias="SeriesNumber")
    description: str = Field("", alias="SeriesDescription")
    modality: str = Field("", alias="SeriesModality")
    count: Number = Field(None, alias="ImageCount")
    instances: tuple[InstanceReply, ...] = Field((), alias="Sops")


class Layout(Reply):
    uid: str = Field(alias="StudyInstanceUid")
    name: PersonName | str = Field("", alias="PatientName")
    patient: str = Field("", alias="PatientId")
    sex: str = Field("", alias="PatientSex")
    born: str = Field("", alias="PatientBirthDate")
    accession: str = Field("", alias="AccessionNumber")
    date: str = Field("", alias="StudyDate")
    time: str = Field("", alias="StudyTime")
    description: str = Field("", alias="StudyDescription")
    series: list[SeriesReply] = Field(alias="Series")

    @property
    def study(self) -> Study:
        return Study(self.uid, self.date, "", self.description.strip(), str(self.name))


def read_layout(message: bytes, url: str, session: Session) -> Layout | None:
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
    text = message.removeprefix(ERROR).strip()
    if "timeout" in text.lower():
        return SiteBusy(text, host=session.link.host, why=Reason.REFUSED_FOR_NOW)
    return refusal_error(text, host=session.link.host)
