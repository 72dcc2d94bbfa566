"""济宁市第一人民医院 CloudView (jnrmyy): its calls are known by name only, so its page is opened and listened to."""

from __future__ import annotations

from scraper.contract import Deployment, Provider


class Jnrmyy(Provider):
    """Nothing of its own but the link: the universal capture opens the page, scrolls through it and takes what comes."""

    name = "jnrmyy"
    route = r"(?i:/[^?#]*(?:\?[^#]*|#[^?]*\?.*)\burltoken=[^&#]+.*)"
    serves = "Part 10 files, as the page receives them"
    deployments = (Deployment("yjp.jnrmyy.com", "济宁市第一人民医院", "山东"),)
    distinctive_routes = (r"(?i:/(?:[\w-]+/)*Dicom/[^?#]*\?(?:[^#]*&)?urltoken=[^&#]+.*)",)
    behind = (r"yjp\.jnrmyy\.com/Dicom/.*",)
    example = "https://yjp.jnrmyy.com/Dicom/Index?urltoken=ABCDEF0123456789"
