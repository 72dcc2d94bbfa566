"""One source from start to end: discover, retrieve, assess, place."""
