"""What the user gave (photo, PDF, text, saved page) and the link in it."""
