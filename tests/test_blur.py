"""Blur is a mean over light along a path whose middle is the sharp photo."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo import blur

REACHES = np.array([0.0, 0.5, 3.0, 12.0, 30.0])


def paths(seed=0):
    return blur.trajectories(np.random.default_rng(seed), REACHES)


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_a_path_has_the_reach_asked_for_and_its_mean_at_zero(seed):
    path = paths(seed)
    distances = np.linalg.norm(path[:, :, None] - path[:, None], axis=-1).max(axis=(1, 2))
    assert np.allclose(distances, REACHES, atol=1e-9)
    assert abs(path.mean(axis=1)).max() < 1e-9


def test_the_same_seed_gives_the_same_paths_and_another_does_not():
    assert np.array_equal(paths(1), paths(1))
    assert not np.array_equal(paths(1), paths(2))


def test_kernels_sum_to_one_with_the_centroid_in_the_middle():
    kernels = blur.kernels(paths(), 63)
    at = np.arange(63) - 31
    assert kernels.min() >= 0 and np.allclose(kernels.sum(axis=(1, 2)), 1)
    for axis in (1, 2):
        assert abs((kernels.sum(axis=axis) * at).sum(axis=1)).max() < 1e-9


def test_a_kernel_is_the_picture_that_a_point_draws():
    path = np.array([[[0.0, 0.0], [0.0, 2.0], [-1.5, 0.0], [0.0, 0.0]]])
    want = np.zeros((5, 5))
    want[2, 2], want[2, 4], want[0, 2], want[1, 2] = 0.5, 0.25, 0.125, 0.125
    assert np.allclose(blur.kernels(path, 5)[0], want)


@pytest.mark.parametrize("side_px", [31, 62])
def test_a_kernel_too_small_or_even_is_refused(side_px):
    with pytest.raises(ValueError, match="does not hold"):
        blur.kernels(paths() * 2, side_px)


def test_convolution_equals_adding_up_shifted_photos():
    rng = np.random.default_rng(0)
    light = rng.random((2, 3, 12, 14))
    kernel = rng.random((2, 3, 3))
    want = np.zeros((2, 3, 10, 12))
    for dy in range(3):
        for dx in range(3):
            shifted = light[:, :, 2 - dy : 12 - dy, 2 - dx : 14 - dx]
            want += kernel[:, dy, dx, None, None, None] * shifted
    got = blur.convolve(torch.from_numpy(light), torch.from_numpy(kernel))
    assert np.allclose(got.numpy(), want)


def shake(stored, kernel, gamma=blur.GAMMA, shot_noise=0.0, gain=1.0, noise=None):
    b, _, h, w = stored.shape
    k = kernel.shape[-1]
    if noise is None:
        noise = torch.zeros(b, 3, h - k + 1, w - k + 1, dtype=stored.dtype)
    full = torch.ones(b, dtype=stored.dtype)
    return blur.shake(stored, kernel, noise, shot_noise * full, gain * full, gamma)


def test_a_still_camera_stores_the_photo_as_it_was():
    stored = torch.arange(256).double().reshape(1, 1, 16, 16).repeat(1, 3, 1, 1) / 255
    still = torch.ones(1, 1, 1, dtype=torch.float64)
    assert torch.equal(shake(stored, still), stored)


def test_light_adds_up_and_stored_values_do_not():
    stored = torch.zeros(1, 3, 1, 2, dtype=torch.float64)
    stored[..., 1] = 1
    half_half = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    kernel = torch.nn.functional.pad(half_half, (0, 1, 1, 1))  # 3 x 3
    wide = torch.nn.functional.pad(stored, (1, 1, 1, 1))
    in_light, in_values = shake(wide, kernel), shake(wide, kernel, gamma=1.0)
    assert in_light.max() == round(255 * 0.5 ** (1 / 2.2)) / 255
    assert in_values.max() == pytest.approx(0.5, abs=1 / 255)


def test_the_sharp_photo_lies_at_the_middle_of_the_exposure():
    """Its offset against the blurred photo, by the centroid of a spot, is under 0.05 pixels."""
    stored = torch.zeros(5, 3, 127, 127, dtype=torch.float64)
    stored[:, :, 54:73, 54:73] = 0.8
    blurred = shake(stored, torch.from_numpy(blur.kernels(paths(), 63)))
    sharp = blur.crop_middle(stored, 31)
    at = torch.arange(sharp.shape[-1], dtype=torch.float64)
    for axis in (-1, -2):
        centroids = []
        for image in (blurred, sharp):
            light = blur.linearise(image).sum(dim=axis)
            centroids.append((light * at).sum(dim=-1) / light.sum(dim=-1))
        assert abs(centroids[0] - centroids[1]).max() < 0.05


def test_noise_has_the_variance_asked_for():
    stored = torch.full((1, 3, 200, 200), 0.5, dtype=torch.float64)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    noise = torch.randn(1, 3, 200, 200, dtype=torch.float64, generator=torch.manual_seed(0))
    got = blur.linearise(shake(stored, one, shot_noise=1e-3, noise=noise)).std().item()
    assert got == pytest.approx((1e-3 * 0.5**2.2) ** 0.5, rel=0.02)


def test_lifted_highlights_draw_brighter_streaks_and_leave_the_rest():
    stored = torch.full((1, 3, 9, 9), 0.5, dtype=torch.float64)
    stored[..., 4, 4] = 1
    kernel = torch.zeros(1, 5, 5, dtype=torch.float64)
    kernel[0, 2] = 0.2
    plain, lifted = shake(stored, kernel), shake(stored, kernel, gain=4.0)
    assert lifted[0, 0, 2, 2] > plain[0, 0, 2, 2] + 0.15
    assert torch.equal(lifted[..., 0, :], plain[..., 0, :])


def test_only_what_is_clipped_in_all_channels_is_lifted():
    light = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 250 / 255, 250 / 255, 250 / 255])
    pixels = blur.linearise(light.double().reshape(1, 3, 3, 1).transpose(1, 2))
    lifted = blur.lift_highlights(pixels, torch.tensor([3.0], dtype=torch.float64))
    assert torch.allclose(
        lifted / pixels, torch.tensor([3.0, 1.0, 1.0]).reshape(1, 1, 3, 1).double()
    )


def test_blurred_photos_are_bytes():
    stored = torch.rand(1, 3, 20, 20, dtype=torch.float64, generator=torch.manual_seed(0))
    blurred = shake(stored, torch.full((1, 3, 3), 1 / 9, dtype=torch.float64)) * 255
    assert torch.equal(blurred, blurred.round()) and 0 <= blurred.min() and blurred.max() <= 255
