"""Workers of a batch: in this process or on a cluster."""
