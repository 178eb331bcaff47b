"""The methods by name: their formulas, and what the kernels need to know of them."""

from camfast.ops.forms import FORMS, Form


def methods() -> tuple[str, ...]:
    """List the names of the methods.

    The map L from activations A[k] and gradients G[k] = ∂y/∂A[k], with sums over the Z positions of the grid and
    S_k = ΣA_k. A ReLU shown here can be left out by ``relu=False``::

        gradcam      w_k = ΣG_k / Z; L = relu(Σ_k w_k A_k)                           Selvaraju et al. 2017
        gradcam++    α = 1/(2 + S_k G_k) where G_k > 0, else 0; w_k = Σ α·G_k;
                     L = relu(Σ_k w_k A_k)                                           Chattopadhay et al. 2018
        xgradcam     w_k = ΣG_kA_k / (S_k + 1e-7); L = relu(Σ_k w_k A_k)             Fu et al. 2020
        respond      w_k = ΣG_kA_k / (S_k + Z·1e-10); L = Σ_k w_k A_k                Zhao et al. 2018
        hirescam     L = relu(Σ_k G_k ⊙ A_k)                                         Draelos and Carin 2020
        elementwise  L = Σ_k relu(G_k ⊙ A_k)                                         element-wise Grad-CAM
        layercam     L = relu(Σ_k relu(G_k) ⊙ A_k)                                   Jiang et al. 2021
        extended     L = Σ_k G_k ⊙ A_k, upsampled by Gaussians                       Kim et al. 2020

    Examples
    --------
    >>> "respond" in camfast.methods()
    True
    """
    return tuple(FORMS)


def get(name: str) -> Form:
    """Return the form of a method: how activations and gradients become its map, and its defaults.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists them.
    """
    if name not in FORMS:
        raise ValueError(f"method must be one of {', '.join(FORMS)}; found {name!r}")
    return FORMS[name]
