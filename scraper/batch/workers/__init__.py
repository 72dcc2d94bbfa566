"""Where the sources of a batch are worked on: in this process or on a cluster."""
