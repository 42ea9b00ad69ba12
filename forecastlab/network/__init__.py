"""The network, without Lightning: a batch is scaled once, run through its parts, and turned back once."""
