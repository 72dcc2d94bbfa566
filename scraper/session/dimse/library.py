"""Options of the DICOM network library, which are the process's and not an association's."""

from pynetdicom import _config  # its documented place for options


def keep_data_sets_out_of_logs() -> None:
    """Have the library log no query, no match and no object: each may name a patient."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
