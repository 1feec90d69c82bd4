"""bfloat16 on processors that do not multiply in it."""

import pytest
import torch
from torch import nn

from mimo import precision

LAYERS = {
    "convolution": lambda: nn.Conv2d(16, 24, 3, stride=2, padding=1),
    "transposed": lambda: nn.ConvTranspose2d(16, 24, 4, stride=2, padding=1),
}


def results(layer, x, coming):
    """What a layer puts out, and the gradients of its input, weight and bias."""
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(coming.to(y.dtype))
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("name", LAYERS)
def test_what_bfloat16_rounds_is_rounded_and_nothing_else(name, monkeypatch):
    monkeypatch.setattr(precision, "multiplies_in_bfloat16", lambda device: False)
    torch.manual_seed(0)
    layer, exact = (LAYERS[name]() for _ in range(2))
    exact.load_state_dict({k: v.bfloat16() for k, v in layer.state_dict().items()})
    x = torch.randn(2, 16, 12, 12)
    coming = torch.randn_like(layer(x)).bfloat16()
    with precision.bfloat16("cpu"):
        found = results(layer, x, coming)
    assert found[0].dtype == torch.bfloat16
    wanted = results(exact.double(), x.bfloat16().double(), coming)
    in_float32 = results(LAYERS[name]().requires_grad_(True), x, coming)
    for got, sums, other in zip(found, wanted, in_float32, strict=True):
        # But for sums that lie so near the middle of two numbers that their order decides.
        assert (got.double() == sums.bfloat16().double()).double().mean() > 0.995
        assert (other == other.bfloat16().float()).double().mean() < 0.1


def test_it_is_autocast_where_the_processor_multiplies_in_it(monkeypatch):
    x, layer = torch.randn(1, 16, 8, 8), LAYERS["convolution"]()
    monkeypatch.setattr(precision, "multiplies_in_bfloat16", lambda device: True)
    with precision.bfloat16("cpu"):
        ours = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        pytorchs = layer(x)
    assert torch.equal(ours, pytorchs) and ours.dtype == torch.bfloat16
    monkeypatch.setattr(precision, "multiplies_in_bfloat16", lambda device: False)
    with precision.bfloat16("cpu"):
        assert (layer(x) == pytorchs).double().mean() > 0.99
    with precision.bfloat16("cpu", enabled=False):
        assert torch.equal(layer(x), layer(x).float()) and not torch.equal(layer(x), pytorchs)


def test_a_gpu_that_does_not_multiply_in_it_stays_with_float32(monkeypatch):
    monkeypatch.setattr(precision, "multiplies_in_bfloat16", lambda device: False)
    x, layer = torch.randn(1, 16, 8, 8), LAYERS["convolution"]()
    with precision.bfloat16("cuda"):
        ours = layer(x)
    assert torch.equal(ours, layer(x)) and ours.dtype == torch.float32
