"""How a viewer's requests follow from the lists that it received."""
