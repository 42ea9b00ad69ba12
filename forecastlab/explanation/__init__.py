"""What a trained network looks at: gates, states, attention, and the importance of its inputs."""
