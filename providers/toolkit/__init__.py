"""Ways to speak to pages and APIs that several platforms share."""
