"""The network is the paper's, number for number."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mimo import MIMOUNet, load
from mimo.losses import content_loss, frequency_loss, pyramid, total_loss
from mimo.network import AFF, FAM, SCM, half
from mimo.restore import receptive_px

REFERENCE = Path(__file__).parent / "reference"
KEYS = json.loads((REFERENCE / "checkpoint_keys.json").read_text())
SEED = 2108
# name of the authors' class, our file, gain of the formula, residual blocks, parameters
MODELS = [
    ("MIMO-UNet", "mimo_unet", 1.5, 8, 6_807_171),
    ("MIMO-UNetPlus", "mimo_unet_plus", 1.2, 20, 16_107_651),
]


def formula_state(name: str, gain: float) -> dict[str, torch.Tensor]:
    """The state dict, in the authors' names, that made the reference numbers."""
    state = {}
    for i, (key, shape) in enumerate(KEYS[name]):
        values = np.random.default_rng(SEED + i).random(int(np.prod(shape))) * 2 - 1
        values *= gain / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.05
        state[key] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    return state


def reference_image(offset: int) -> torch.Tensor:
    values = np.random.default_rng(SEED + offset).random((1, 3, 64, 96))
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="module", params=MODELS, ids=lambda m: m[0])
def restored(request, tmp_path_factory):
    """The reference file's stem, and what our network makes of its checkpoint and image."""
    name, stem, gain, *_ = request.param
    path = tmp_path_factory.mktemp("authors") / f"{name}.pkl"
    torch.save({"model": formula_state(name, gain), "epoch": 3000}, path)
    with torch.no_grad():
        return stem, load(path, "cpu")(reference_image(100_000))


def test_outputs_equal_the_authors(restored):
    stem, outputs = restored
    with np.load(REFERENCE / f"{stem}.npz") as want:
        for output, scale in zip(outputs, ("full", "half", "quarter"), strict=True):
            error = abs(output.numpy() - want[scale]).max() / abs(want[scale]).max()
            assert error < 1e-5, scale


def test_losses_equal_the_authors(restored):
    stem, outputs = restored
    want = json.loads((REFERENCE / f"{stem}_losses.json").read_text())
    targets = pyramid(reference_image(200_000))
    assert content_loss(outputs, targets).item() == pytest.approx(want["content"], rel=1e-5)
    assert frequency_loss(outputs, targets).item() == pytest.approx(want["frequency"], rel=1e-5)
    assert total_loss(outputs, targets).item() == pytest.approx(want["total"], rel=1e-5)


@pytest.mark.parametrize("name,stem,gain,res_blocks,parameters", MODELS)
def test_parameters_are_as_many_as_published(name, stem, gain, res_blocks, parameters):
    net = MIMOUNet(res_blocks=res_blocks)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert len(net.state_dict()) == len(KEYS[name])


def test_outputs_are_full_half_and_quarter_size():
    shapes = [tuple(r.shape) for r in MIMOUNet(8, 1)(torch.rand(2, 3, 20, 12))]
    assert shapes == [(2, 3, 20, 12), (2, 3, 10, 6), (2, 3, 5, 3)]


@pytest.mark.parametrize("size", [(20, 13), (18, 12)])
def test_sides_that_are_no_multiple_of_4_are_refused(size):
    with pytest.raises(ValueError, match="multiples of 4"):
        MIMOUNet(8, 1)(torch.rand(1, 3, *size))


def test_smaller_inputs_are_decimated():
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert half(image)[0, 0].tolist() == [[r * 8.0 + c for c in (0, 2, 4, 6)] for r in (0, 2, 4, 6)]


def test_fam_is_the_identity_where_the_smaller_image_says_nothing():
    fam, x = FAM(8), torch.rand(1, 8, 5, 5)
    torch.nn.init.zeros_(fam.merge.bias)
    assert torch.equal(fam(x, torch.zeros_like(x)), x)
    assert not torch.equal(fam(x, torch.ones_like(x)), x)


def test_scm_passes_the_image_on():
    scm, image = SCM(16), torch.rand(1, 3, 6, 6)
    with torch.no_grad():
        scm.mix.weight.zero_()
        scm.mix.bias.zero_()
        for c in range(3):
            scm.mix.weight[c, c] = 1
    assert torch.equal(scm(image)[:, :3], image)


def test_aff_resizes_by_nearest_neighbour():
    aff = AFF(2, 1)
    with torch.no_grad():
        aff.mix[0].weight.copy_(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1))
        aff.smooth.weight.zero_()
        aff.smooth.weight[0, 0, 1, 1] = 1
        for conv in (aff.mix[0], aff.smooth):
            conv.bias.zero_()
    large, small = torch.rand(1, 1, 4, 4), torch.rand(1, 1, 2, 2)
    assert torch.equal(aff([large, small], small.shape[-2:]), large[..., ::2, ::2])
    doubled = small.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(aff([small, large], large.shape[-2:]), doubled)


def test_every_parameter_gets_a_gradient():
    net = MIMOUNet(8, 1)
    total_loss(net(torch.rand(1, 3, 16, 16)), pyramid(torch.rand(1, 3, 16, 16))).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    net, x = MIMOUNet(8, 1, aff_dropout=0.5), torch.rand(1, 3, 16, 16)
    assert not torch.equal(net(x)[0], net(x)[0])
    net.eval()
    assert torch.equal(net(x)[0], net(x)[0])


@pytest.mark.parametrize("res_blocks", [1, 2])
def test_an_output_pixel_sees_17_plus_28_n_pixels(res_blocks):
    net = MIMOUNet(8, res_blocks).double()
    with torch.no_grad():  # nothing cancels, and no ReLU hides a path
        for p in net.parameters():
            p.abs_()
    side = 4 * (receptive_px(net) // 2 + 6)
    reaches = []
    for at in range(side // 2, side // 2 + 4):  # the network's grid repeats every 4 pixels
        x = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
        net(x)[0][..., at, at].sum().backward()
        seen = x.grad[0].sum(dim=0).nonzero()
        reaches += [at - seen.min().item(), seen.max().item() - at]
    assert max(reaches) == receptive_px(net) == 17 + 28 * res_blocks


def test_trace_names_every_part_once_in_running_order():
    net, x = MIMOUNet(8, 1).eval(), torch.rand(1, 3, 16, 16)
    seen = net.trace(x)
    names = list(seen)
    assert names[0] == "stem" and names.index("fam.3") < names.index("encoder.3")
    assert {n.split(".")[0] for n in names} == {n for n, _ in net.named_children()} - {"drop"}
    assert torch.equal(seen["head.1"] + x, net(x)[0])
    assert all(not m._forward_hooks for m in net.modules())
