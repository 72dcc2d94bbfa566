"""The eUnity viewer of gjwlyy."""
