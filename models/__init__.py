"""The science on arrays: sensor physics, scene simulation, networks, training, inference, metrics."""
