"""Data sets and expectations → problems: complete, original, one study, decodable, with plausible geometry?

Returns problems, never raises.
"""

from scraper.verify import listing
from scraper.verify.folder import Candidate, Files, Report, check_files, check_folder, find, foreign_files, opened
from scraper.verify.instance import Checked, Facts, check_instance, unreadable
from scraper.verify.listing import DirectoryComparison
from scraper.verify.objects import is_image
from scraper.verify.series import check_series, check_study, lost_between
from scraper.verify.workers import Inspector

__all__ = [
    "Candidate",
    "Checked",
    "Facts",
    "Files",
    "Inspector",
    "DirectoryComparison",
    "Report",
    "check_files",
    "check_folder",
    "find",
    "foreign_files",
    "check_instance",
    "is_image",
    "listing",
    "lost_between",
    "opened",
    "check_series",
    "check_study",
    "unreadable",
]
