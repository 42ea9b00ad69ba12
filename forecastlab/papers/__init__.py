"""Papers that are reproduced, a room for each."""
