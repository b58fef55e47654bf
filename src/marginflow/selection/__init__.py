"""May a run stay with the tokens it has selected: barrier, rule, and the verdict on a run."""
