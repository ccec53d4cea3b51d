"""Cloud masks from networks: tiles in, seam-free classes out."""
