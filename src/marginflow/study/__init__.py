"""Studies: a plan of many runs, done in batches by an engine, kept in a ledger, summed up with intervals."""
