"""How good a mask or an adaptation is, as numbers that derive from stored counts."""
