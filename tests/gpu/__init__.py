"""Every op on every kind of processor, in the same words; what runs on a GPU is marked ``gpu``.

The bodies run on the CPU's kernels in the ordinary test run, which proves them; `make gpu-check` runs them on a GPU, by
the CUDA extension and by Triton.
"""
