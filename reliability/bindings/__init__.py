"""The binding under calls that are wrong: ``python -m reliability.bindings``.

`camfast._C` takes addresses and sizes as numbers. What it can notice it must: wrong types and numbers of arguments,
codes that don't exist, sizes that are negative, don't fit each other or have a product beyond 64 bits, null addresses
of arrays that aren't empty. Each such call has to raise; none may end the process or take more than a while.

What it can't notice isn't called: an address that isn't the memory of so large an array, and strides that lead out of
it. No function of machine addresses could; `camfast.ops`, its only caller, takes them from tensors that it has checked.
So every array lies in a room of its own with space around it, and where drawn sizes or strides reach beyond, its
address is null.

`camfast._C_cuda` is called the same way on the emulated device, with null addresses only.

`camfast.ops` itself is called with wrong arguments too, and has to raise a TypeError, a ValueError or a
`camfast.CamfastError`.

The calls are made in a process of their own, which writes each call down first, so that a crash is noticed, counted and
shown.
"""
