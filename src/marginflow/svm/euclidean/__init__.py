"""Solvers for the Frobenius and l2 norms."""
