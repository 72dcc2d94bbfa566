"""The GE Zero Footprint viewer behind 影像云 CIF links."""
