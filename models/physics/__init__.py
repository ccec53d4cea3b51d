"""Landsat-8/9 to Proba-V as pure steps on arrays."""
