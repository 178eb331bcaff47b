"""Random networks × every method, against plain autograd: ``python -m reliability.models``.

:mod:`~reliability.models.networks` draws a network from a seed, of :mod:`~reliability.models.blocks`,
:mod:`~reliability.models.habits` and :mod:`~reliability.models.heads`; :mod:`~reliability.models.truth` runs a copy of
it and differentiates, without hooks; :mod:`~reliability.models.formulas` has the methods as loops.
"""
