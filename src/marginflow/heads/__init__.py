"""Attention heads of other people's checkpoints: layouts, exact small factors, conservation laws."""
