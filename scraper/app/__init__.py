"""The local window: a page on this computer over the same pipeline as the command line, for people who use no terminal."""
