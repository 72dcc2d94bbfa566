"""The one door to the network: says which address may be spoken to, by which way, and what of a person may go there.

The direct client, WebSockets and the browser all ask it: what it judges is the address that is connected to.
"""

from scraper.session.door.door import Door, Route
from scraper.session.door.network import Network, SystemNetwork

__all__ = ["Door", "Network", "Route", "SystemNetwork"]
