"""The methods by name: their formulas, and what the engine needs to know of them."""

from camfast.ops.forms import FORMS, Form

METHODS: dict[str, Form] = {
    "cam": Form(rectify=None, relu=False),
    **FORMS,
    "eigencam": Form(rectify=None, relu=False),
    "eigengradcam": Form(rectify=None, relu=False),
}
# Maps along a singular vector, which `camfast.components` finds; those of FORMS are the kernels'.
COMPONENTS = frozenset({"eigencam", "eigengradcam"})
# Maps from activations alone, for which nothing is differentiated.
WITHOUT_GRADIENTS = frozenset({"cam", "eigencam"})


def methods() -> tuple[str, ...]:
    """List the names of the methods.

    The map L from activations A[k] and gradients G[k] = ∂y/∂A[k], with sums over the Z positions of the grid and
    S_k = ΣA_k. A ReLU shown here can be left out by ``relu=False``::

        cam          w_k = v_k / Z, v the linear layer behind a global average
                     pooling; L = Σ_k w_k A_k, so that ΣL = y − bias         Zhou et al. 2016
        gradcam      w_k = ΣG_k / Z; L = relu(Σ_k w_k A_k)                   Selvaraju et al. 2017
        gradcam++    α = 1/(2 + S_k G_k) where G_k > 0, else 0; w_k = Σ α·G_k;
                     L = relu(Σ_k w_k A_k)                                   Chattopadhay et al. 2018
        xgradcam     w_k = ΣG_kA_k / (S_k + 1e-7); L = relu(Σ_k w_k A_k)     Fu et al. 2020
        respond      w_k = ΣG_kA_k / (S_k + Z·1e-10); L = Σ_k w_k A_k        Zhao et al. 2018
        hirescam     L = relu(Σ_k G_k ⊙ A_k)                                 Draelos and Carin 2020
        elementwise  L = Σ_k relu(G_k ⊙ A_k)                                 element-wise Grad-CAM
        layercam     L = relu(Σ_k relu(G_k) ⊙ A_k)                           Jiang et al. 2021
        extended     L = Σ_k G_k ⊙ A_k, upsampled by Gaussians               Kim et al. 2020
        eigencam     L = A·v, v the first right singular vector of the Z×K matrix
                     A, the same for each target; with centre=True the columns'
                     means are subtracted first                              Muhammad and Yeasin 2020
        eigengradcam the same of the matrix G ⊙ A                            Eigen-Grad-CAM

    The sign of a singular vector is chosen so that L correlates positively with the matrix's sums over k; where that
    correlation is 0, the position of the largest magnitude is positive.

    Examples
    --------
    >>> "respond" in camfast.methods()
    True
    """
    return tuple(METHODS)


def get(name: str) -> Form:
    """Return the form of a method: how activations and gradients become its map, and its defaults.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists them.
    """
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; found {name!r}")
    return METHODS[name]
