"""The science on arrays: sensor physics and scene simulation."""
