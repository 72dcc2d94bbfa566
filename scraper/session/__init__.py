"""One link's conversation with its site: the direct client and the browser, sharing one cookie jar."""

from scraper.session.session import Ask, Cookie, Response, Session, encode_query, with_query

__all__ = ["Ask", "Cookie", "Response", "Session", "encode_query", "with_query"]
