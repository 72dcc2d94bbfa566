"""One base per product that is sold under several names."""
