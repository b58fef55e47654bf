"""Discrete training: descent methods that make trajectories."""
