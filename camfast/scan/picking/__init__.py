"""Particles: peaks of a map, which of them are picks, their files, and how good they are."""
