"""precision.py: this machine -> whether a training step is faster in bfloat16."""

import time
from pathlib import Path
from typing import Final

import torch

_FLAGS: Final = ("avx512_bf16", "amx_bf16")
_TRIES: Final = 3


def faster_bfloat16(device: torch.device) -> bool:
    """Measured on a product such as the loss has; only where the processor has it at all."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return processor_has_bfloat16() and _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32)


def processor_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """What Linux says; False elsewhere."""
    try:
        flags = cpuinfo.read_text().partition("flags")[2].partition("\n")[0].split()
    except OSError:
        return False
    return any(flag in flags for flag in _FLAGS)


def _seconds(dtype: torch.dtype) -> float:
    """The best of a few; the first one also prepares."""
    users, items = torch.ones(1024, 128, dtype=dtype), torch.ones(128, 8192, dtype=dtype)
    taken = []
    for _ in range(_TRIES + 1):
        began = time.perf_counter()
        users @ items
        taken.append(time.perf_counter() - began)
    return min(taken)
