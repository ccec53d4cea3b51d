"""Scenes that are named rather than given: where they lie, and the tasks that fetch them."""
