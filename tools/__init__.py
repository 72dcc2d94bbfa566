"""Small programs of the workshop: set-up, the pages' tables, the site, measurements. None of them is in the wheel."""
