"""Run folders and what lies in them: checkpoints, whole files, jobs of several processes, signals, SLURM."""
