"""A. van Diepen's paper: its published tables, and the command that trains its models and puts ours beside them."""
