"""A trained network in formats that other programs read: one format per file."""

from forecastlab.export.safetensors import load_safetensors, save_safetensors

__all__ = ["load_safetensors", "save_safetensors"]
