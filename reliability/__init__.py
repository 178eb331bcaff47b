"""Campaigns that try to break camfast, and what is kept of them: ``python -m reliability.<campaign>``."""
