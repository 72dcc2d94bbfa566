"""One file per platform: which links it owns, what it asks, how a study is found. ``CONTRIBUTING.md`` says how to add one."""
