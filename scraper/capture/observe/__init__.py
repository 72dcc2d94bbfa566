"""What a viewer received: DICOM objects, tags, frames and lists."""
