"""The independent check of a saved solution."""
