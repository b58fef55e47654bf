"""Solvers for the nuclear and the operator norm."""
