"""Each row is the network that its name says, and all of it is trained."""

from dataclasses import replace

import pytest
import torch

from mimo.ablations import FREQUENCY, VARIANTS
from mimo.config import NetConfig, TrainConfig
from mimo.losses import content_loss, frequency_loss, pyramid
from mimo.restore import restore_scales
from mimo.rows import CAMPAIGNS
from mimo.train import initial_network

C = 8
CONFIG = TrainConfig(net=NetConfig(width=C, res_blocks=1))


def build(variant, seed=0):
    return initial_network(replace(CONFIG, variant=variant), seed)


def parameters(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_gets_a_gradient(variant, bfloat16):
    net = build(variant)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):  # as the tables are trained
        restored = net(torch.rand(2, 3, 32, 40))
    targets = pyramid(torch.rand(2, 3, 32, 40))
    (content_loss(restored, targets) + 0.1 * frequency_loss(restored, targets)).backward()
    still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def network_and_loss(config):
    """What of a row decides which parameters get a gradient, at no more than the tables' size."""
    size = {"width": min(config.net.width, C + config.net.width % 2)}
    size["res_blocks"] = min(config.net.res_blocks, 8)
    decides = ("variant", "targets", "frequency", "frequency_weight", "bfloat16")
    of = {name: getattr(config, name) for name in decides}
    return replace(CONFIG, net=replace(config.net, **size), zero_heads=False, **of)


# The first row of each kind, so that also those of the paper's scale, and of a GPU, are there.
KINDS = {}
for _family, _rows in CAMPAIGNS.items():
    for _name, _row in _rows.items():
        KINDS.setdefault(network_and_loss(_row.config), f"{_family}/{_name}")


@pytest.mark.parametrize("config", KINDS, ids=KINDS.values())
def test_each_row_trains_all_of_its_network_with_its_loss(config):
    net = initial_network(config, seed=0)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        restored = net(torch.rand(4, 3, 32, 40))
    targets = pyramid(torch.rand(4, 3, 32, 40), config.targets)
    content = content_loss(restored, targets)
    frequency = FREQUENCY[config.frequency](restored, targets)
    (content + config.frequency_weight * frequency).backward()
    still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_shared_layers_start_alike(variant):
    net, full = build(variant).state_dict(), build("full").state_dict()
    same = {n for n in net if n in full and net[n].shape == full[n].shape}
    shared = [n for n in same if n.replace("bias", "weight") in same]
    assert len(shared) >= 40 and all(torch.equal(net[n], full[n]) for n in shared)
    other = build(variant, seed=1).state_dict()
    assert not any(torch.equal(net[n], other[n]) for n in net)


SCM_PARAMETERS = sum(
    9 * 3 * d // 4 + d // 4 + d // 4 * d // 2 + d // 2 + 9 * (d // 2) ** 2 + d // 2
    + d // 2 * (d - 3) + d - 3 + d * d + d
    for d in (2 * C, 4 * C)
)  # fmt: skip
FAM_PARAMETERS = sum(9 * d * d + d for d in (2 * C, 4 * C))
AFF_PARAMETERS = sum(7 * C * d + d + 9 * d * d + d for d in (C, 2 * C))
HEADS = sum(9 * d * 3 + 3 for d in (2 * C, 4 * C))
LESS = {
    "full": 0,
    "no-mise": SCM_PARAMETERS + FAM_PARAMETERS,
    "no-mosd": HEADS,
    "no-aff": AFF_PARAMETERS,
    "mise": HEADS + AFF_PARAMETERS,
    "mosd": SCM_PARAMETERS + FAM_PARAMETERS + AFF_PARAMETERS,
    "unet": SCM_PARAMETERS + FAM_PARAMETERS + AFF_PARAMETERS + HEADS,
    "fam-sum": FAM_PARAMETERS,
    "fam-concat": FAM_PARAMETERS - sum(18 * d * d + d for d in (2 * C, 4 * C)),
    "scm-conv": SCM_PARAMETERS - sum(27 * d + d for d in (2 * C, 4 * C)),
    "aff-bilinear": 0,
    "input-antialiased": 0,
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_has_the_parameters_of_its_parts(variant):
    assert parameters(build("full")) - parameters(build(variant)) == LESS[variant]


@pytest.mark.parametrize("variant", ["unet", "mise", "no-mosd"])
def test_a_single_output_is_restored_at_full_size(variant):
    net = build(variant).eval()
    image = torch.rand(30, 42, 3).numpy()
    outputs = restore_scales(image, net)
    assert [o.shape for o in outputs] == [(30, 42, 3)]


@pytest.mark.parametrize(
    "variant,reads", [("unet", False), ("mosd", False), ("no-mise", False), ("mise", True)]
)
def test_only_multi_input_networks_read_the_smaller_images(variant, reads):
    net, x = build(variant).eval(), torch.rand(1, 3, 32, 32)
    before = net(x)[0]
    net.smaller = lambda image: 0.5 * image[..., ::2, ::2]
    assert torch.equal(net(x)[0], before) != reads


def test_without_aff_a_decoder_gets_one_scale_of_the_encoder():
    net = build("no-aff").eval()
    seen = net.trace(torch.rand(1, 3, 32, 32))
    assert torch.equal(seen["aff.1"], seen["encoder.1"])
    assert torch.equal(seen["aff.2"], seen["encoder.2"])


def test_the_antialiased_input_lies_on_the_grid_of_the_targets():
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    smaller, target = build("input-antialiased").smaller(ramp), pyramid(ramp)[1]
    assert torch.allclose(smaller[..., 4:-4], target[..., 4:-4])
    assert torch.allclose(build("full").smaller(ramp) + 0.5, target)


def test_the_ways_to_compare_spectra_differ_as_named():
    torch.manual_seed(0)
    restored, targets = [torch.rand(1, 3, 64, 64)], [torch.rand(1, 3, 64, 64)]
    both = FREQUENCY["both-sides"](restored, targets)
    assert FREQUENCY["orthonormal"](restored, targets) * 64 == pytest.approx(both.item(), rel=1e-5)
    assert FREQUENCY["modulus"](restored, targets) / both == pytest.approx(torch.pi / 2, rel=0.02)
    half = torch.view_as_real(torch.fft.fft2(restored[0] - targets[0]))[..., :33, :].abs().mean()
    assert FREQUENCY["one-sided"](restored, targets) == pytest.approx(half.item(), rel=1e-5)
