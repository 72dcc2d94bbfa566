"""Data sets and expectations → problems: whole, original, one study, decodable, of sound geometry?

Returns problems, never raises.
"""

from scraper.verify.folder import Candidate, Report, check_folder, find, unpacked
from scraper.verify.instance import Checked, Facts, instance
from scraper.verify.series import series, study
from scraper.verify.workers import Inspector

__all__ = [
    "Candidate",
    "Checked",
    "Facts",
    "Inspector",
    "Report",
    "check_folder",
    "find",
    "instance",
    "series",
    "study",
    "unpacked",
]
