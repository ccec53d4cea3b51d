"""Readers and writers of satellite products. No Luigi, no TensorFlow."""
