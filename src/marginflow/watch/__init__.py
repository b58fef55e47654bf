"""A training run recorded head by head while it runs: the recorder, its file, and what can be said of it."""
