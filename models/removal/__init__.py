"""Removal of clouds: what networks are given, what is covered, and how results are put together."""
