"""Many sources, one after another or several at once: read from a list, kept in a ledger, told in one report."""
