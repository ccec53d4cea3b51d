"""Simple methods that every learnt one is shown beside."""
