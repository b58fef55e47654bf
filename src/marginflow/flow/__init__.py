"""Gradient flows of the attention loss, run to very late times, with a verdict."""
