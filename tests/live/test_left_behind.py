"""A program that ends while a frame is still worked on."""

import subprocess
import sys

PROGRAM = """
import time
import numpy as np
import torch
import camfast
from camfast.live import Looks, Session

class Slow(torch.nn.Module):
    def forward(self, x):
        time.sleep(2.5)
        return x

model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), Slow(), torch.nn.Flatten(), torch.nn.Linear(2 * 6 * 6, 2))
looks = Looks(camfast.Explainer(model.eval(), "0"), camfast.models.Preprocess(size=8, channels="L"))
with Session("sim:8x8@100", looks, [lambda shown: print("shown", flush=True)]) as session:
    session.wait(0.3)
print("ended", flush=True)
"""


def test_its_frame_is_finished_before_python_ends() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "it is left behind" in done.stderr
    assert done.stdout.split() == ["ended", "shown"]
