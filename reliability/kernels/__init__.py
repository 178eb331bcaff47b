"""Every op on every backend that runs here, on hostile inputs: ``python -m reliability.kernels``.

`hostile` draws the tensors, `exact` computes each op in extended precision with a bound of the error that a kernel may
make, `judging` compares, `maps`, `pixels` and `selections` have one property an op, `machines` lets the same calls run
on a backend.
"""
