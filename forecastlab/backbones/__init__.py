"""Backbones: sequence in, sequence out; one cell or network per file. `forecastlab.registry` finds them."""
