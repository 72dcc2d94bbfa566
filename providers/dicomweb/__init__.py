"""Viewers that speak DICOMweb, on any host."""
