"""Attention SVMs: the least-norm weights that separate the selected tokens, with a certificate."""
