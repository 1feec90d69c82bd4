"""The losses, derived anew with NumPy."""

import numpy as np
import pytest
import torch

from mimo.losses import content_loss, frequency_loss, pyramid, total_loss
from mimo.network import half as decimated

SHAPES = [(2, 3, 16, 24), (2, 3, 8, 12), (2, 3, 4, 6)]
RNG = np.random.default_rng(0)
RESTORED, SHARP = ([RNG.random(s, dtype=np.float32) for s in SHAPES] for _ in range(2))
TENSORS = [[torch.from_numpy(a) for a in images] for images in (RESTORED, SHARP)]


def test_content_loss_is_the_mean_absolute_error_summed_over_scales():
    want = sum(abs(r - s).mean() for r, s in zip(RESTORED, SHARP, strict=True))
    assert content_loss(*TENSORS).item() == pytest.approx(want, rel=1e-6)


def test_frequency_loss_counts_real_and_imaginary_parts_of_the_whole_spectrum():
    want = 0
    for r, s in zip(RESTORED, SHARP, strict=True):
        difference = np.fft.fft2(r.astype(float)) - np.fft.fft2(s.astype(float))
        want += (abs(difference.real).mean() + abs(difference.imag).mean()) / 2
    assert frequency_loss(*TENSORS).item() == pytest.approx(want, rel=1e-5)


def test_total_loss_weighs_the_frequency_loss():
    content, frequency = content_loss(*TENSORS), frequency_loss(*TENSORS)
    assert torch.allclose(total_loss(*TENSORS), content + 0.1 * frequency)
    assert torch.equal(total_loss(*TENSORS, frequency_weight=0.0), content)


def test_losses_are_taken_at_the_scales_that_have_an_output():
    restored, sharp = TENSORS
    want = abs(RESTORED[0] - SHARP[0]).mean()
    assert content_loss(restored[:1], sharp).item() == pytest.approx(want, rel=1e-6)


def test_losses_of_bfloat16_outputs_are_computed_in_float32():
    low = [r.bfloat16() for r in TENSORS[0]]
    assert total_loss(low, TENSORS[1]).dtype == torch.float32


def test_targets_are_bilinear_without_anti_aliasing():
    image = torch.rand(1, 3, 16, 16)
    full, half, quarter = pyramid(image)
    assert full is image
    assert torch.allclose(half, torch.nn.functional.avg_pool2d(image, 2))
    middle = torch.nn.functional.avg_pool2d(image[..., 1:, 1:], 2, stride=4)  # pixels 1 and 2 of 4
    assert torch.allclose(quarter, middle)


def test_decimated_targets_are_made_as_the_inputs_are():
    image = torch.rand(1, 3, 16, 24)
    full, second, third = pyramid(image, "nearest")
    assert full is image
    assert torch.equal(second, decimated(image)) and torch.equal(third, decimated(second))
