"""Scans that are disturbed in many ways: the final bytes are those of an undisturbed scan, or there are none.

``python -m reliability.scans [--cases N] [--seed S] [--only WHAT] [--write]``
"""
