"""Training with Lightning: the module, its callbacks, and what they need of Lightning's loops."""
