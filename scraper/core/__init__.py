"""Values, errors, settings and text rules that every other package builds on."""
