"""Training of networks: data in batches, the loop, and what a run keeps of itself."""
