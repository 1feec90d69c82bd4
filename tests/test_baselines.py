"""The classical methods do what they are known for."""

import numpy as np
import pytest

from mimo import blur
from mimo.baselines import BASELINES, richardson_lucy, unsharp, wiener
from mimo.data import Pair, most_textured, photo_paths, read_photo
from mimo.metrics import psnr_db


@pytest.fixture(scope="module")
def pair():
    """A photo blurred along a short path, with hardly any noise."""
    photo = read_photo(photo_paths("test")[1])
    y, x = most_textured(photo, 200)
    photo = photo[y : y + 200, x : x + 200]
    path = np.linspace(-1.5, 1.5, 64)[:, None] * [0.6, 0.8]
    rng = np.random.default_rng(0)
    blurred, sharp = blur.shake_photo(photo, path, rng, shot_noise=1e-6, highlight_gain=1.0)
    return Pair("p", "p", "shake", 3.0, blurred, sharp, blur.kernels(path[None], 63)[0])


@pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES)
def test_each_brings_a_weakly_blurred_photo_closer(pair, method):
    restored, sharp = method(pair), pair.sharp / 255
    assert restored.shape == sharp.shape and 0 <= restored.min() <= restored.max() <= 1
    assert psnr_db(restored, sharp) > psnr_db(pair.blurred / 255, sharp) + 0.15


@pytest.mark.parametrize("method", [wiener, richardson_lucy])
def test_a_wrong_kernel_spoils_what_the_true_one_gains(pair, method):
    turned = Pair(**{**vars(pair), "kernel": np.rot90(pair.kernel)})
    sharp = pair.sharp / 255
    assert psnr_db(method(turned), sharp) < psnr_db(method(pair), sharp) - 2


def test_the_unsharp_mask_is_told_no_kernel(pair):
    assert np.array_equal(unsharp(Pair(**{**vars(pair), "kernel": pair.kernel * 0})), unsharp(pair))
