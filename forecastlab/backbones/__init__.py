"""Backbones: sequence in, sequence out; one cell or network per file. `forecastlab.network.registry` finds them."""
