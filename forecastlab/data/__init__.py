"""Data: source -> table -> folds -> scaling -> windows -> LightningDataModule."""
