"""Solvers for l1, linf and lp of vectors: diagonals, and all entries of full weights."""
