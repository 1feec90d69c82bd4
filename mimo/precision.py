"""bfloat16, in which networks are trained here, also on processors that do not multiply in it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def multiplies_in_bfloat16(device: str) -> bool:
    """Whether a kind of device does that itself, and PyTorch has it do so."""
    if device == "cpu":
        known = torch.backends.mkldnn.is_available()
        return known and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return device != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def bfloat16(device: str, enabled: bool = True) -> Iterator[None]:
    """Run convolutions in bfloat16, with sums in float32, as PyTorch's autocast does.

    A processor that does not multiply in bfloat16 multiplies in float32 what was rounded to
    bfloat16, and rounds the sums: the same numbers, up to the order in which they are added, some
    ten times as fast as PyTorch's own emulation. A GPU that does not stays with float32.
    """
    itself = multiplies_in_bfloat16(device)
    with torch.autocast(device, torch.bfloat16, enabled=enabled and (itself or device == "cpu")):
        with nullcontext() if itself or not enabled else _InFloat32():
            yield


class _InFloat32(TorchFunctionMode):
    """Convolutions of values rounded to bfloat16; so is what comes of them, and their gradients."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func not in (torch.conv2d, torch.conv_transpose2d):
            return func(*args, **kwargs or {})
        rounded = (a.bfloat16().float() if isinstance(a, Tensor) else a for a in args)
        with torch.autocast("cpu", enabled=False):
            return func(*rounded, **kwargs or {}).bfloat16()
