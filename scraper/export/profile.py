"""The Basic Application Level Confidentiality Profile and its options (PS3.15 E.2, E.3): what becomes of each attribute.

The profile's table (PS3.15 E.1-1, of 2026c) is a kept library's; which attributes an option retains stands here.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Final

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector  # type: ignore[import-untyped]  # no types in the wheel
from pydicom.datadict import tag_for_keyword

from scraper.core.settings import Retain

EDITION: Final = "2026c"


class Action(Enum):
    """What becomes of an attribute (PS3.15 E.1, codes X, Z, D, U)."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    NEW_UID = "U"


CODES: Final = {  # PS3.16 CID 7050
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "pixels": ("113101", "Clean Pixel Data Option"),
    "modified-dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Retain.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Retain.LONGITUDINAL_FULL_DATES: ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    Retain.PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Retain.DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
    Retain.UIDS: ("113110", "Retain UIDs Option"),
    Retain.INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
}
_LIBRARY: Final = {  # the library's tables; where the standard leaves a choice, the one that keeps an object valid
    "D_TAGS": Action.DUMMY,
    "Z_TAGS": Action.EMPTY,
    "X_TAGS": Action.REMOVE,
    "U_TAGS": Action.NEW_UID,
    "Z_D_TAGS": Action.DUMMY,
    "X_Z_TAGS": Action.EMPTY,
    "X_D_TAGS": Action.DUMMY,
    "X_Z_D_TAGS": Action.DUMMY,
    "X_Z_U_STAR_TAGS": Action.EMPTY,
}
_ADDED: Final = (  # PS3.15 E.1-1, action X: sequences that the library's table lacks
    "SourcePatientGroupIdentificationSequence",
    "GroupOfPatientsIdentificationSequence",
    "OtherPatientIDsSequence",
    "ReferencedPatientSequence",
    "ReferencedPatientPhotoSequence",
)
_RETAINED: Final = {
    # PS3.15 E.1-1, the options' columns, by two published readings of it (editions of 2020 and 2023); a test holds these lists
    # against them. Of what "Clean Descriptors" may retain, only what describes the images is here: the rest goes, as without it.
    Retain.PATIENT_CHARACTERISTICS: (
        "Allergies",
        "EthnicGroup",
        "EthnicGroupCodeSequence",  # assumed: younger than the editions held against
        "PatientAge",
        "PatientSex",
        "PatientSexNeutered",
        "PatientSize",
        "PatientState",
        "PatientWeight",
        "PreMedication",
        "PregnancyStatus",
        "SelectorASValue",
        "SmokingStatus",
        "SpecialNeeds",
    ),
    Retain.DEVICE_IDENTITY: (
        "BeamHoldTransitionDateTime",
        "CalibrationDate",
        "CalibrationDateTime",
        "CalibrationTime",
        "CassetteID",
        "DateOfLastCalibration",
        "DateOfLastDetectorCalibration",
        "DateTimeOfLastCalibration",
        "DetectorID",
        "DeviceDescription",
        "DeviceLabel",
        "DeviceSerialNumber",
        "DeviceUID",
        "GantryID",
        "GeneratorID",
        "LensMake",
        "LensModel",
        "LensSerialNumber",
        "LensSpecification",
        "ManufacturerDeviceClassUID",
        "ManufacturerDeviceIdentifier",
        "ModifyingDeviceID",
        "ModifyingSystem",
        "PerformedStationAETitle",
        "PerformedStationGeographicLocationCodeSequence",
        "PerformedStationName",
        "PerformedStationNameCodeSequence",
        "PlateID",
        "ScheduledProcedureStepLocation",
        "ScheduledStationAETitle",
        "ScheduledStationGeographicLocationCodeSequence",
        "ScheduledStationName",
        "ScheduledStationNameCodeSequence",
        "ScheduledStudyLocation",
        "ScheduledStudyLocationAETitle",
        "SourceManufacturer",
        "SourceSerialNumber",
        "StationAETitle",  # assumed: younger than the editions held against
        "StationName",
        "TimeOfLastCalibration",
        "TimeOfLastDetectorCalibration",
        "TransducerIdentificationSequence",
        "TreatmentMachineName",
        "UDISequence",
        "UniqueDeviceIdentifier",
        "XRayDetectorID",
        "XRayDetectorLabel",
        "XRaySourceID",
    ),
    Retain.INSTITUTION_IDENTITY: (
        "ClinicalTrialCoordinatingCenterName",
        "ClinicalTrialProtocolEthicsCommitteeName",
        "ClinicalTrialSiteID",
        "ClinicalTrialSiteName",
        "InstitutionAddress",
        "InstitutionCodeSequence",
        "InstitutionName",
        "InstitutionalDepartmentName",
        "InstitutionalDepartmentTypeCodeSequence",
    ),
    Retain.CLEAN_DESCRIPTORS: (
        "AcquisitionDeviceProcessingDescription",
        "AcquisitionProtocolDescription",
        "ContrastBolusAgent",
        "DerivationDescription",
        "FrameComments",
        "ImageComments",
        "PerformedProcedureStepDescription",
        "ProtocolName",
        "RequestedProcedureDescription",
        "ScheduledProcedureStepDescription",
        "SeriesDescription",
        "StudyDescription",
    ),
}
_CLEANED: Final = (  # PS3.15 E.1-1, action C of the options: retained without what tells of the patient
    *_RETAINED[Retain.CLEAN_DESCRIPTORS],
    "Allergies",
    "PatientState",
    "PreMedication",
    "SpecialNeeds",
)
OF_BIRTH: Final = frozenset(  # dates that no shift makes safe
    filter(
        None,
        map(
            tag_for_keyword,
            (
                "PatientBirthDate",
                "PatientBirthTime",
                "PatientBirthDateInAlternativeCalendar",
                "PatientDeathDateInAlternativeCalendar",
            ),
        ),
    )
)


@cache
def table() -> dict[int, Action]:
    """Attribute → its action; attributes that the table does not name are none of the profile's."""
    found: dict[int, Action] = {}
    rows = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
    for name, action in _LIBRARY.items():
        found |= {(tag[0] << 16) | tag[1]: action for tag in rows[name] if len(tag) == 2}
    return found | {tag: Action.REMOVE for keyword in _ADDED if (tag := tag_for_keyword(keyword)) is not None}


@cache
def retained(option: Retain) -> frozenset[int]:
    """The attributes that an option retains."""
    return frozenset(tag for keyword in _RETAINED.get(option, ()) if (tag := tag_for_keyword(keyword)) is not None)


@cache
def cleaned() -> frozenset[int]:
    """The retained attributes whose text an option cleans (action C); the others stay unmodified (action K)."""
    return frozenset(tag for keyword in _CLEANED if (tag := tag_for_keyword(keyword)) is not None)
