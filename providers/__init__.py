"""One file per platform: which links it owns, what it asks, how a study is found. See ``CONTRIBUTING.md``."""
