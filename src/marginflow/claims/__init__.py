"""Statements about where training ends, each a small experiment that can fail."""
