"""Wire formats, one module each: they know DICOM and no hospital."""
