"""What was expected of each method before the first run, and what we make of the outcome."""

_UP = "its weights or gradients come from the randomised layer"
EXPECTED: dict[str, tuple[bool, bool, str]] = {
    "cam": (False, False, "its weights are the randomised layer's own"),
    "gradcam": (False, False, _UP),
    "gradcam++": (True, False, "its weights are never negative: about the sum of all channels, whatever the class"),
    "xgradcam": (False, False, _UP),
    "respond": (False, False, _UP),
    "hirescam": (False, False, _UP),
    "elementwise": (True, False, "half of the channels are left at each place whatever the signs, and A itself stays"),
    "layercam": (True, False, "as elementwise: behind a ReLU both are the same"),
    "eigencam": (True, False, "it looks at activations alone, and those of the layer stay"),
    "eigengradcam": (False, False, _UP),
    "saliency": (False, False, "its sign turns with that of the weights"),
    "guided_backprop": (True, False, "Adebayo et al.: it hardly depends on the upper layers, and draws edges"),
    "deconvnet": (True, False, "as guided backprop, by the same rectification on the way back"),
    "guided_gradcam": (True, False, "Adebayo et al.: guided backprop decides what it looks like"),
}
"""For each method: does its map stay when the top layer is random, does it when all layers are, and why.

``extended`` is ``hirescam`` here: without a ReLU and on the grid both are Σ_k G_k ⊙ A_k.
"""

AFTERWARDS = (
    "What we make of it afterwards. *On CNN-2 maps without negative weights* (`gradcam++`, `elementwise`, `layercam`, "
    "`eigencam`) stay when nothing learnt is left: a noise-free subtomogram is constant around its particle, any "
    "network answers differently there, and such a map shows where the density is, which the volume shows as well. The "
    "signed maps turn into others with the top layer; their magnitudes, which follow the same density, mostly stay. So "
    "on such volumes only the sign of a map says what was learnt, and a peak on the particle says little.",
    "*On SqueezeNet* `elementwise` and `layercam` change with the top layer, as a ReLU stands behind conv10: where a "
    "random class is below 0 there is no gradient and hence no map; `gradcam++` averages over the places and stays. "
    "For the same reason maps vanish altogether the more layers are random. `guided_backprop` stays even when every "
    "weight is random: it recovers edges of the photograph, whatever the network (Adebayo et al. 2018; Nie et al. "
    "2018). `deconvnet` gives an empty map of the trained network: on its way back all values are negative in front of "
    "the squeezing ReLU of fire7, and nothing passes.",
    "*`deconvnet` on CNN-2* changes with the top layer: it ignores which hidden units were active, so that the signs "
    "of the dense layers' weights alone decide what goes back, and other weights send back something else.",
)
"""Written after the run."""
