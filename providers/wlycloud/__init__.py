"""万里云: a report page that names a viewer."""
