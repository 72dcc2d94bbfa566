"""The film cloud of 武汉大学中南医院, whose calls are signed and enciphered."""
