"""GE Centricity Universal Viewer ZFP with its newer sockets: groups on one, pixels on another, and only for its own page."""

from __future__ import annotations

from functools import partial

from providers.products.zfp_sockets import GROUPS, GroupReply, ShownImages, SopReply, groups_of
from providers.toolkit.tags import read_tags
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

TAGS = {
    "SOPClassUID": "head.sop_class",
    "SOPInstanceUID": "sop.uid",
    "SeriesInstanceUID": "sop.series",
    "StudyInstanceUID": "group.study",
    "Modality": "group.modality",
    "SeriesDescription": "group.description",
    "InstanceNumber": "sop.number",
    "Rows": "head.rows",
    "Columns": "head.columns",
    "BitsAllocated": "head.allocated",
    "BitsStored": "head.stored",
    "HighBit": "head.high",
    "PixelRepresentation": "head.signed",
    "SamplesPerPixel": "head.samples",
    "PhotometricInterpretation": "head.photometric",
    "WindowWidth": "head.window",
    "WindowCenter": "head.level",
    "RescaleSlope": "head.slope",
    "RescaleIntercept": "head.intercept",
    "ContentDate": "head.date",
    "ContentTime": "head.time",
    "ImagePositionPatient": "sop.position.x sop.position.y sop.position.z",
    "ImageOrientationPatient": "sop.orientation.rowX sop.orientation.rowY sop.orientation.rowZ "
    "sop.orientation.columnX sop.orientation.columnY sop.orientation.columnZ",
    "PixelSpacing": "sop.spacing.physicalDeltaY sop.spacing.physicalDeltaX",  # rows apart first (PS3.3 10.7.1.3)
}


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
    return PixelParts(read_tags(TAGS, group=group, sop=sop, head=head), (pixels,))


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
