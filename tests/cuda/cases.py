"""How close the CUDA kernels must come to the float64 reference, and how to run one op on all that it takes."""

import torch

# ‖out − reference‖ / ‖reference‖ on the same rounded inputs. Sums are float32 (float64 of float64), of a few thousand
# terms at most before they are added in a tree: each addition is off by 6e-8 of the sum so far, with either sign.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 1e-6, torch.float16: 1e-6, torch.float64: 1e-14}
