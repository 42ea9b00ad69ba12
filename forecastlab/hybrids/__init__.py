"""Hybrids: backbones made of backbones. `forecastlab.network.registry` finds them."""
