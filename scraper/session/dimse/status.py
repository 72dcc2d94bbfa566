"""The statuses of DICOM's message exchange (PS3.7 annex C, PS3.4 C.4), in words."""

from scraper.core.reasons import Because, Reason

PENDING, SUCCESS, CANCELLED = (0xFF00, 0xFF01), 0x0000, 0xFE00  # PS3.7 annex C
NOT_UNDERSTOOD = 0xA900  # and above: the identifier does not fit, or can't be processed
SUBOPERATIONS_FAILED, DESTINATION_UNKNOWN, PROCESSING_FAILURE = 0xA702, 0xA801, 0x0110
MEANT = {
    0xA701: Reason.OUT_OF_RESOURCES,
    SUBOPERATIONS_FAILED: Reason.COULD_NOT_SEND,
    DESTINATION_UNKNOWN: Reason.DESTINATION_UNKNOWN,
    0xB000: Reason.COULD_NOT_SEND_SOME,
    PROCESSING_FAILURE: Reason.PROCESSING_FAILURE,
}  # PS3.4 C.4.2.1.5 and C.4.3.1.4, PS3.7 C

STORE_MEANT = {
    0xA700: Reason.ARCHIVE_FULL,
    0xA900: Reason.DATA_SET_UNFIT,
    0xC000: Reason.ARCHIVE_CANNOT_READ,
    0x0110: Reason.PROCESSING_FAILURE,
    0x0122: Reason.CLASS_NOT_TAKEN,
    0x0124: Reason.UNAUTHORIZED,
    0xB000: Reason.VALUES_CHANGED,
    0xB006: Reason.VALUES_LEFT_OUT,
    0xB007: Reason.DATA_SET_UNFIT,
}  # PS3.4 B.2.3; the ranges by their first number


def describe_store_status(status: int) -> Because:
    """The status of a C-STORE as a person may read it."""
    base = 0xC000 if 0xC000 <= status <= 0xCFFF else status & 0xFF00 if 0xA700 <= status <= 0xA9FF else status
    return _described("C-STORE", status, STORE_MEANT.get(status) or STORE_MEANT.get(base))


def describe_status(operation: str, status: int, meaning: Reason | None = None) -> Because:
    """A final status, with what it means."""
    return _described(operation, status, meaning or MEANT.get(status))


def _described(operation: str, status: int, meaning: Reason | None) -> Because:
    number = f"{status:04X}"
    if meaning is None:
        return Reason.DIMSE_STATUS.of(operation=operation, status=number)
    return Reason.DIMSE_STATUS_MEANS.of(operation=operation, status=number, meaning=meaning)
