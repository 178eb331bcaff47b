"""The methods by name: formula, what they do by default, and where they come from."""

from dataclasses import dataclass

from camfast.ops.forms import FORMS, Form


@dataclass(frozen=True)
class Method:
    """A class activation map.

    Attributes
    ----------
    name : str
        What the API calls it.
    form : Form
        How activations and gradients become a map, and the defaults of ReLU and upsampling.
    formula : str
        The map L from activations A, gradients G = ∂y/∂A, sums over the Z positions, S_k = ΣA_k.
    source : str
        Who described it first.
    """

    name: str
    form: Form
    formula: str
    source: str


_DESCRIPTIONS = {
    "gradcam": ("w_k = ΣG_k / Z; L = relu(Σ_k w_k A_k)", "Selvaraju et al. 2017"),
    "gradcam++": (
        "α = 1/(2 + S_k G_k) where G_k > 0, else 0; w_k = Σ α·G_k; L = relu(Σ_k w_k A_k)",
        "Chattopadhay et al. 2018",
    ),
    "xgradcam": ("w_k = ΣG_kA_k / (S_k + 1e-7); L = relu(Σ_k w_k A_k)", "Fu et al. 2020"),
    "respond": ("w_k = ΣG_kA_k / (S_k + Z·1e-10); L = Σ_k w_k A_k", "Zhao et al. 2018"),
    "hirescam": ("L = relu(Σ_k G_k ⊙ A_k)", "Draelos and Carin 2020"),
    "elementwise": ("L = Σ_k relu(G_k ⊙ A_k)", "element-wise Grad-CAM"),
    "layercam": ("L = relu(Σ_k relu(G_k) ⊙ A_k)", "Jiang et al. 2021"),
    "extended": ("L = Σ_k G_k ⊙ A_k, upsampled by Gaussians", "Kim et al. 2020"),
}
_METHODS = {name: Method(name, FORMS[name], *_DESCRIPTIONS[name]) for name in FORMS}


def methods() -> tuple[str, ...]:
    """List the names of the methods.

    Examples
    --------
    >>> "respond" in camfast.methods()
    True
    """
    return tuple(_METHODS)


def get(name: str) -> Method:
    """Return a method by its name.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists them.
    """
    if name not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}; found {name!r}")
    return _METHODS[name]
