"""东软 M-Viewer on a phone."""
