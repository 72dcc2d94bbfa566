"""Data sets and expectations → problems: complete, original, one study, decodable, with plausible geometry?

Returns problems, never raises.
"""

from scraper.verify import listing
from scraper.verify.folder import Candidate, Files, Report, check_files, check_folder, find, opened
from scraper.verify.instance import Checked, Facts, instance, unreadable
from scraper.verify.listing import DirectoryComparison
from scraper.verify.objects import is_image
from scraper.verify.series import lost_between, series, study
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
    "instance",
    "is_image",
    "listing",
    "lost_between",
    "opened",
    "series",
    "study",
    "unreadable",
]
