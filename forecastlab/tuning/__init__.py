"""Studies: which config values give the lowest validation loss; the extra `tune` (Optuna)."""
