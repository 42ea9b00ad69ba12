"""Where the jobs of a command run: on this machine, on a Ray cluster or as jobs of SLURM."""
