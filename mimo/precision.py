"""bfloat16, in which networks are trained here, even on processors that can't multiply in it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def multiplies_in_bfloat16(device: str) -> bool:
    """Whether devices of this type can multiply in bfloat16 natively, and PyTorch lets them."""
    if device == "cpu":
        known = torch.backends.mkldnn.is_available()
        return known and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return device != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def bfloat16(device: str, enabled: bool = True) -> Iterator[None]:
    """Run convolutions in bfloat16, with sums in float32, as PyTorch's autocast does.

    A processor that can't multiply in bfloat16 rounds the factors to bfloat16, multiplies them in
    float32 and rounds the sums: the same numbers, up to the order of addition, some ten times as
    fast as PyTorch's own emulation. A GPU that can't multiply in bfloat16 stays with float32.
    """
    itself = multiplies_in_bfloat16(device)
    rounding = enabled and not itself and device == "cpu"
    with torch.autocast(device, torch.bfloat16, enabled=enabled and (itself or rounding)):
        with _InFloat32() if rounding else nullcontext():
            yield


class _InFloat32(TorchFunctionMode):
    """Convolutions of values rounded to bfloat16; the outputs and the gradients are rounded too."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func not in (torch.conv2d, torch.conv_transpose2d):
            return func(*args, **kwargs or {})
        rounded = (a.bfloat16().float() if isinstance(a, Tensor) else a for a in args)
        with torch.autocast("cpu", enabled=False):
            return func(*rounded, **kwargs or {}).bfloat16()
