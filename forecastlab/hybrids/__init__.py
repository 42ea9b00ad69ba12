"""Hybrids: backbones made of backbones. `forecastlab.registry` finds them."""
