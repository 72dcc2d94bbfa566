"""Presentation contexts to propose for objects whose SOP Class UID an archive does not name (optional, PS3.4 C.6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain

from scraper.session.dimse.receive import COMPRESSED, NO_PIXELS, PLAIN, syntaxes_of

Context = tuple[str, tuple[str, ...]]  # an abstract syntax, and the Transfer Syntaxes of one presentation context

ROOT = "1.2.840.10008.5.1.4.1.1."  # PS3.4 B.5
OF_A_MODALITY: dict[str, tuple[str, ...]] = {
    "CR": ("1", "1.1", "1.1.1"),
    "DX": ("1.1", "1.1.1", "1"),
    "MG": ("1.2", "1.2.1", "13.1.3", "13.1.4", "13.1.5"),
    "IO": ("1.3", "1.3.1"),
    "PX": ("1.1", "1", "1.3"),
    "RG": ("1", "1.1"),
    "CT": ("2", "2.1", "2.2"),
    "MR": ("4", "4.1", "4.3", "4.4", "4.2"),
    "US": ("6.1", "3.1", "6.2", "6", "3"),
    "IVUS": ("3.1", "6.1"),
    "XA": ("12.1", "12.1.1", "13.1.1", "12.2"),
    "RF": ("12.2", "12.2.1", "12.1"),
    "NM": ("20", "5"),
    "PT": ("128", "130", "128.1"),
    "ES": ("77.1.1", "77.1.1.1", "77.1.4"),
    "GM": ("77.1.2", "77.1.3", "77.1.2.1"),
    "SM": ("77.1.6", "77.1.3", "77.1.2"),
    "XC": ("77.1.4", "77.1.4.1"),
    "DMS": ("77.1.7", "77.1.4"),
    "OP": ("77.1.5.1", "77.1.5.2", "77.1.5.5", "77.1.5.6"),
    "OPT": ("77.1.5.4", "77.1.5.7", "77.1.5.8"),
    "IVOCT": ("14.1", "14.2"),
    "RTIMAGE": ("481.1", "481.23", "481.24"),
    "RTDOSE": ("481.2",),
    "RTSTRUCT": ("481.3", "481.11"),
    "RTPLAN": ("481.5", "481.8", "481.10"),
    "RTRECORD": ("481.4", "481.6", "481.7", "481.9"),
    "SEG": ("66.4", "66.5", "66.7"),
    "REG": ("66.1", "66.3", "66.2"),
    "RWV": ("67",),
    "ECG": ("9.1.1", "9.1.2", "9.1.3", "9.1.4"),
    "HD": ("9.2.1",),
    "EPS": ("9.3.1",),
    "M3D": ("104.3", "104.4", "104.5"),
    "DOC": ("104.1", "104.2"),
}  # assumed from PS3.3 C.7.3.1.1.1; an archive's own SOP Class UID goes before it
DOCUMENTS = ("88.11", "88.22", "88.33", "88.34", "88.67", "88.59", "11.1", "11.2", "104.1")  # SR, KO, PR, PDF
SECONDARY_CAPTURE = "7"  # stands in series of every modality
MULTI_FRAME_CAPTURES = ("7.2", "7.4", "7.3", "7.1")
USUAL_IMAGES = (
    "2",
    "4",
    "1",
    "1.1",
    "1.2",
    "7",
    "6.1",
    "3.1",
    "12.1",
    "12.2",
    "20",
    "128",
    "2.1",
    "4.1",
    "7.4",
    "7.2",
    "13.1.3",
    "77.1.4",
    "77.1.5.1",
)
PLAIN_PAIR = PLAIN[:2]


def turns(
    classes: Collection[str], modality: str, syntaxes: Sequence[str], every: Iterable[str], most: int
) -> list[tuple[Context, ...]]:
    """The presentation contexts to propose, association by association until all objects came; likely ones first.

    At first one presentation context for each pair of SOP class and Transfer Syntax, as an archive chooses one syntax a
    context: so every object can come as it is stored (PS3.8 9.3.2). Then a single syntax for each class: some archives send
    in the first context of the class, whatever its syntax, and fail where they can't convert to it.

    Args:
        classes: SOP Class UIDs of the wanted objects; an empty one for those that the archive does not name.
        modality: of the series, where it is known.
        syntaxes: Transfer Syntaxes that the archive names.
        every: all storage classes that are known.
        most: presentation contexts that one association has room for.
    """
    known = [uid for uid in dict.fromkeys(classes) if uid]
    first = list(chain.from_iterable(_as_stored(uid, syntaxes) for uid in known))
    images = [uid for uid in known if not uid.startswith(NO_PIXELS)]
    plain = [*known]
    if "" in classes:
        first += _likely(modality, syntaxes)
        usual = (*OF_A_MODALITY.get(modality.upper(), ()), *USUAL_IMAGES, *MULTI_FRAME_CAPTURES)
        images += [ROOT + tail for tail in usual]
        plain += [*images, *every]
    compressed = [text for text in dict.fromkeys((*syntaxes, *COMPRESSED)) if text not in PLAIN]
    singly: list[list[Context]] = [[(uid, PLAIN_PAIR) for uid in plain]]
    singly += [[(uid, (syntax,)) for uid in images] for syntax in compressed]
    made = [list(dict.fromkeys(first))[:most]]
    for contexts in singly:
        distinct = list(dict.fromkeys(contexts))
        made += [distinct[start : start + most] for start in range(0, len(distinct), most)]
    return [tuple(contexts) for contexts in made]


def _likely(modality: str, syntaxes: Sequence[str]) -> Iterator[Context]:
    """The classes of a modality with every syntax, and those that accompany images in any series."""
    own = OF_A_MODALITY.get(modality.upper(), USUAL_IMAGES)
    for tail in own[:2]:
        yield from _as_stored(ROOT + tail, syntaxes)
    for tail in DOCUMENTS:
        yield from ((ROOT + tail, (syntax,)) for syntax in PLAIN_PAIR)
    for tail in (SECONDARY_CAPTURE, *own[2:], *MULTI_FRAME_CAPTURES):
        yield from _as_stored(ROOT + tail, syntaxes)


def _as_stored(uid: str, syntaxes: Sequence[str]) -> Iterator[Context]:
    return ((uid, (syntax,)) for syntax in syntaxes_of(uid, syntaxes))
