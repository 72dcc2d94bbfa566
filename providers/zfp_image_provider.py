"""GE Centricity Universal Viewer ZFP with its newer sockets: groups on one, pixels on another, and only for its own page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from providers.products.zfp_sockets import GROUPS, GroupReply, HeadReply, ShownImages, SopReply, groups_of
from scraper.contract import (
    Instance,
    OnDemand,
    Origin,
    PixelParts,
    Provider,
    Series,
    Session,
    ShareLink,
    Study,
    refusal_error,
)


class ZfpImageProvider(Provider):
    name = "zfp-image-provider"
    route = r".*"  # its address is not known: a viewer is recognised by its sockets
    when_asked = "whatever the page before the viewer asks"
    serves = "rebuilt: raw pixels over the viewer's WebSocket, with what its groups say"
    study_list_call = GROUPS
    on_any_host = True

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        groups = await groups_of(session)
        if not groups:
            raise refusal_error(await session.screen.message())
        shown = ShownImages(session, groups)
        by_series: dict[str, dict[str, tuple[GroupReply, SopReply]]] = {}
        for group in groups:
            for sop in group.sops:
                by_series.setdefault(sop.series, {}).setdefault(sop.uid, (group, sop))
        return [_series(shown, uid, list(members.values())) for uid, members in by_series.items()]


async def _image(shown: ShownImages, group: GroupReply, sop: SopReply) -> PixelParts:
    head, pixels = await shown.image(group, sop)
    return PixelParts(_tags(group, sop, head), (pixels,))


def _series(shown: ShownImages, uid: str, members: list[tuple[GroupReply, SopReply]]) -> Series:
    group = members[0][0]
    return Series(
        series_instance_uid=uid,
        description=group.description.strip(),
        modality=group.modality,
        expected=len(members),
        study=Study(group.study),
        instances=tuple(
            Instance(sop.uid, OnDemand(partial(_image, shown, group, sop), Origin.REBUILT), number=sop.number)
            for group, sop in members
        ),
    )


def _tags(group: GroupReply, sop: SopReply, head: HeadReply) -> dict[str, str]:
    """What head and group say; the rest is left out."""
    day, moment = (re.sub(r"[-:/.]", "", text.strip()) for text in (head.date, head.time.partition(".")[0]))
    window = head.window and head.level
    scale = head.slope and head.intercept
    tags = {
        "SOPClassUID": head.sop_class,
        "SOPInstanceUID": sop.uid,
        "SeriesInstanceUID": sop.series,
        "StudyInstanceUID": group.study,
        "Modality": group.modality,
        "SeriesDescription": group.description.strip(),
        "InstanceNumber": "" if sop.number is None else str(sop.number),
        "Rows": str(head.rows),
        "Columns": str(head.columns),
        "BitsAllocated": str(head.allocated),
        "BitsStored": str(head.stored),
        "HighBit": str(head.high),
        "PixelRepresentation": str(head.signed),
        "SamplesPerPixel": str(head.samples),
        "PhotometricInterpretation": head.photometric,
        "WindowWidth": head.window if window else "",
        "WindowCenter": head.level if window else "",
        "RescaleSlope": head.slope if scale else "",
        "RescaleIntercept": head.intercept if scale else "",
        "ContentDate": day if re.fullmatch(r"\d{8}", day) else "",
        "ContentTime": moment if re.fullmatch(r"\d{6}", moment) else "",
        "ImagePositionPatient": _joined(sop.position, "x", "y", "z"),
        "ImageOrientationPatient": _joined(sop.orientation, "rowX", "rowY", "rowZ", "columnX", "columnY", "columnZ"),
        "PixelSpacing": _joined(sop.spacing, "physicalDeltaY", "physicalDeltaX"),  # rows apart first (PS3.3 10.7.1.3)
    }
    return {keyword: value for keyword, value in tags.items() if value}


def _joined(values: Mapping[str, float], *names: str) -> str:
    """The values of a multi-valued tag; empty where one is not given."""
    return "\\".join(f"{values[name]:.10g}" for name in names) if all(name in values for name in names) else ""
