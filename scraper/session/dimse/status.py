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


def describe_status(operation: str, status: int, meaning: Reason | None = None) -> Because:
    """A final status, with what it means."""
    number, meaning = f"{status:04X}", meaning or MEANT.get(status)
    if meaning is None:
        return Reason.DIMSE_STATUS.of(operation=operation, status=number)
    return Reason.DIMSE_STATUS_MEANS.of(operation=operation, status=number, meaning=meaning)
