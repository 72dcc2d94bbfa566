"""Account-and-password portals of single hospitals."""
