"""Networks that camfast knows by name, one file each; they import torch only."""
