"""The documentation: its code runs, its links lead somewhere, and the site asks nothing of anybody else."""
