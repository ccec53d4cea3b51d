"""Clouds taken out of scenes: tasks, and what they do without Luigi."""
