"""Triton kernels, one file an op, imported as ``camfast.kernels``.

They import torch and triton only. This version has none yet: GPU tensors are refused by the dispatcher with that reason,
and ``backend="torch"`` runs the reference on them.
"""
