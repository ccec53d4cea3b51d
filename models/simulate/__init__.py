"""Scenes with truth for every pixel."""
