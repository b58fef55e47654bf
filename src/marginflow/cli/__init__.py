"""The command line: one file per verb, no maths in it; each imports its room when it runs."""
