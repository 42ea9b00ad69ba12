"""Compiled loops over time for CPUs: they compute a cell step by step, without the cost of a Python call per step."""
