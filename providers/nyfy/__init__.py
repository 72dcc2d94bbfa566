"""The 万里云 viewer of nyfy, whose study arrives over its WebSocket."""
