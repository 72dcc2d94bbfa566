"""The one door to the network: which address may be reached, how, and what of a person may be sent there.

The direct client, WebSockets and the browser all ask it; the address it approves is the one that is connected to.
"""

from scraper.session.door.door import Door, Route
from scraper.session.door.network import Network, SystemNetwork

__all__ = ["Door", "Network", "Route", "SystemNetwork"]
