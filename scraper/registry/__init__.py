"""Which provider owns a link."""
