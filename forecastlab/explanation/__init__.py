"""Explanations of a trained network: gates, states, attention, and the importance of its inputs."""
