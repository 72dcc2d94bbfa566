"""An association to an archive, or the error that says why there is none."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scraper.core.errors import CloudfilmError, NotRegistered, SiteBusy, SiteUnreachable, UnknownCalledTitle
from scraper.core.reasons import Cause, Reason
from scraper.session.dimse.tls import Tls
from scraper.session.reasons import reason_of

if TYPE_CHECKING:
    from pynetdicom import AE
    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
    from pynetdicom.presentation import PresentationContext

ABORT, ACCEPT, REJECT = "A_ABORT_RQ", "A_ASSOCIATE_AC", "A_ASSOCIATE_RJ"  # the library's names of these PDUs


@dataclass(frozen=True, slots=True)
class Peer:
    """One archive, and under which names it is spoken to.

    ``address`` is where the connection goes: ``host`` and its port, or what ``--connect-to`` puts in their place.
    ``listen`` is the port of this computer that a C-MOVE sends to. ``tls`` None: in the clear.
    """

    host: str
    address: tuple[str, int]
    called: str
    calling: str
    listen: int
    timeout_s: float
    tls: Tls | None = None

    def not_registered(self, why: Cause) -> NotRegistered:
        """The error that says what the archive's administrator has to do."""
        return NotRegistered("calling", host=self.host, calling=self.calling, listen=self.listen, why=why)


def connect(peer: Peer) -> socket.socket:
    """A connection to the archive, over TLS where it wants that.

    Raises:
        SiteUnreachable: nobody, or no TLS with a certificate that can be trusted.
    """
    try:
        plain = socket.create_connection(peer.address, timeout=peer.timeout_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a message ends with a short piece
            if peer.tls is None:
                return plain
            return _secured(plain, peer)
        except BaseException:
            plain.close()
            raise
    except (OSError, UnicodeError) as err:  # an SSLError is an OSError
        raise SiteUnreachable(host=peer.host, why=reason_of(err)) from err


def _secured(plain: socket.socket, peer: Peer) -> socket.socket:
    """The connection over TLS.

    Raises:
        SiteUnreachable: it is ended at once, as by an archive that speaks no TLS. OSError: any other fault.
    """
    assert peer.tls is not None  # noqa: S101  # asked before
    context = peer.tls.context()
    try:
        return context.wrap_socket(plain, server_hostname=peer.host)
    except ConnectionError as err:
        raise SiteUnreachable(host=peer.host, why=Reason.NO_TLS) from err


def reach(peer: Peer) -> None:
    """Is there anybody; says why not, which the library keeps to itself.

    Raises:
        SiteUnreachable: as ``connect``.
    """
    connect(peer).close()


def associate(
    entity: AE,
    peer: Peer,
    contexts: Sequence[PresentationContext],
    handlers: Sequence[Any],
    came: Mapping[str, Any],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Association:
    """An established association.

    Args:
        entity: this computer.
        peer: the archive.
        contexts: to propose.
        handlers: of the library's events; one of them writes into ``came``.
        came: the PDUs that came over the association, the last of each kind.
        roles: of this computer in some contexts.

    Raises:
        SiteUnreachable: no connection, silence. SiteBusy: it says so. NotRegistered, UnknownCalledTitle: it refuses us.
    """
    more: dict[str, Any] = {}
    if peer.tls is not None:
        more["tls_args"] = (peer.tls.context(), peer.host)
    try:
        association = entity.associate(
            *peer.address,
            contexts=list(contexts),
            ae_title=peer.called,
            ext_neg=list(roles),
            evt_handlers=list(handlers),
            **more,
        )
    except (OSError, UnicodeError) as err:
        raise SiteUnreachable(host=peer.host, why=reason_of(err)) from err
    if not association.is_established:
        raise refusal(peer, came)
    return association


def refusal(peer: Peer, came: Mapping[str, Any]) -> CloudfilmError:
    """The error that a refused association means (PS3.8 9.3.4); ``came``: the PDUs that came, by the library's names."""
    if ABORT in came:
        return peer.not_registered(Reason.ASSOCIATION_ABORTED)
    refusal = came.get(REJECT)
    if refusal is None:
        return SiteUnreachable(host=peer.host, why=Reason.NO_ASSOCIATION)
    source, reason = refusal.source, refusal.reason_diagnostic
    if source == 1 and reason == 7:
        return UnknownCalledTitle(host=peer.host, called=peer.called, calling=peer.calling)
    if source == 3:  # the presentation layer: congestion, or its limit of associations
        return SiteBusy(host=peer.host, why=Reason.TOO_MANY_ASSOCIATIONS)
    if refusal.result == 2:
        return SiteBusy(host=peer.host, why=Reason.REFUSED_FOR_NOW)
    return peer.not_registered(Reason.CALLING_TITLE_UNKNOWN if reason == 3 else Reason.ASSOCIATION_REJECTED)
