"""Solvers for l1, linf and lp on vectors."""
