"""DICOM archives over the DICOM network protocol (PS3.7): queries, retrievals, and the objects that they send."""
