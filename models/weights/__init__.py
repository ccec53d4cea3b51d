"""Weights of networks: which there are, and how they are read safely."""
