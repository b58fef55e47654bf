"""Figures of the papers on this subject, made again with certificates."""
