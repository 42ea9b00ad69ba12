"""Compiled loops over time for CPUs: what a cell computes step by step, without the cost of a call per step."""
