"""Wire formats, one module each, independent of any hospital."""
