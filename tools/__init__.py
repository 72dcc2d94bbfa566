"""Small programs of the workshop: set-up, the README's tables, measurements. None of them is in the wheel."""
