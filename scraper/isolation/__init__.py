"""Work on hostile bytes in child processes that may die and can do nothing but answer."""
