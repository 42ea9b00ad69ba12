"""An experiment: its config, and the training, validation, test and forecast that a config describes."""
