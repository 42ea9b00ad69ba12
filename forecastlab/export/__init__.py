"""A trained network in formats that other programs read: one format per file."""

from forecastlab.export.onnx import save_onnx
from forecastlab.export.safetensors import load_safetensors, save_safetensors
from forecastlab.export.streams import load_streams, save_streams
from forecastlab.export.torch_program import save_torch

__all__ = ["load_safetensors", "load_streams", "save_onnx", "save_safetensors", "save_streams", "save_torch"]
