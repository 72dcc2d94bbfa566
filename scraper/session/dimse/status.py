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

STORE_MEANT = {
    0xA700: "the archive is full",
    0xA900: "the data set does not fit its class",
    0xC000: "the archive can't read it",
    0x0110: "processing failure",
    0x0122: "the archive does not take this class",
    0x0124: "not authorized",
    0xB000: "values were changed by the archive",
    0xB006: "values were left out by the archive",
    0xB007: "the data set does not fit its class",
}  # PS3.4 B.2.3; the ranges by their first number


def describe_store_status(status: int) -> str:
    """The status of a C-STORE as a person may read it."""
    base = 0xC000 if 0xC000 <= status <= 0xCFFF else status & 0xFF00 if 0xA700 <= status <= 0xA9FF else status
    meant = STORE_MEANT.get(status) or STORE_MEANT.get(base, "")
    return f"C-STORE 0x{status:04X}" + (f": {meant}" if meant else "")


def describe_status(operation: str, status: int) -> str:
    """A final status in words."""
    meant = MEANT.get(status, "")
    return f"{operation} 0x{status:04X}" + (f": {meant}" if meant else "")
