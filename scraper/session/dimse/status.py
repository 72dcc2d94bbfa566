"""The statuses of DICOM's message exchange (PS3.7 annex C, PS3.4 C.4), in words."""

PENDING, SUCCESS, CANCELLED = (0xFF00, 0xFF01), 0x0000, 0xFE00  # PS3.7 annex C
NOT_UNDERSTOOD = 0xA900  # and above: the identifier does not fit, or can't be processed
SUBOPERATIONS_FAILED, DESTINATION_UNKNOWN, PROCESSING_FAILURE = 0xA702, 0xA801, 0x0110
MEANT = {
    0xA701: "out of resources, it can't count what matches",
    SUBOPERATIONS_FAILED: "it could not send them",
    DESTINATION_UNKNOWN: "it does not know this computer, or can't reach it",
    0xB000: "some of them it could not send",
    PROCESSING_FAILURE: "processing failure",
}  # PS3.4 C.4.2.1.5 and C.4.3.1.4, PS3.7 C


def describe_status(operation: str, status: int) -> str:
    """A final status in words."""
    meant = MEANT.get(status, "")
    return f"{operation} 0x{status:04X}" + (f": {meant}" if meant else "")
