"""Requests and responses of one site over HTTP: the client, its pace, and the encodings of a request."""
