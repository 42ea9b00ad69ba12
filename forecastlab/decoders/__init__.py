"""Decoders: from encoded history to the horizon."""

from forecastlab.decoders.base import Decoder
from forecastlab.decoders.linear import Linear

__all__ = ["Decoder", "Linear"]
