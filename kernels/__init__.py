"""Triton kernels, one file an op, imported as ``camfast.kernels``. They import torch and triton only.

Below the ops every array is (N, C, P): N samples, C channels, P positions of the grid; gradients have T targets in
front, (T, N, C, P), and maps and weights have them behind the samples, (N, T, P) and (N, T, C). Each file begins with
its equation, then has the kernel, then the function that launches it on tensors that `camfast.ops.triton` has
prepared.

Every kernel adds up in the dtype of maps (float32, or float64 for float64), in an order that the shapes fix, without
atomics on floats: the same input gives the same bits. Offsets are 64-bit. Nothing synchronises, and workspace comes
from ``torch.empty``, so that launches can be captured in a CUDA graph.
"""
