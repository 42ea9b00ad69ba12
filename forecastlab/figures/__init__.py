"""Drawing: one style for every figure, and the figures of searches."""
