"""dropout.py: numbers -> the same with a share left out, several times faster than torch's on CPU.

torch draws a float for each number, and that is a seventh of a training step; a byte is enough.
"""

import numpy as np
import torch
from torch.nn import functional


def dropout(values: torch.Tensor, share: float, training: bool) -> torch.Tensor:
    """While training about this share of the numbers is 0 and the others make up for it.

    On a CPU the share is rounded to 1/256. What is drawn depends on torch's seed alone.
    """
    if not training or not share:
        return values
    if values.device.type != "cpu":
        return functional.dropout(values, share, training)
    out = min(max(round(share * 256), 1), 255)
    seed = int(torch.randint(1 << 62, (1,)))
    drawn = np.random.Generator(np.random.SFC64(seed)).bytes(values.numel())
    bytes_ = torch.from_numpy(np.frombuffer(drawn, np.uint8).copy())
    kept = (bytes_ >= out).to(values.dtype).mul_(256 / (256 - out))
    return values * kept.view(values.shape)
