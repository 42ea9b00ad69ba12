"""Python in one breath: from a file or frame to a model that forecasts, draws and is scored."""
