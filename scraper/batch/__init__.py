"""Many sources, one after another or several at once: read from a list, recorded in a ledger, summarised in one report."""
