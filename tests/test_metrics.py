"""Metrics against known values, and intervals that hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from mimo.evaluate import report, summary
from mimo.metrics import clustered_mean, psnr_db, ssim

GREY = np.full((16, 16, 3), 0.5)


def test_psnr_of_a_constant_error():
    assert psnr_db(GREY + 0.1, GREY) == pytest.approx(20)
    assert psnr_db(GREY, GREY) == float("inf")


def test_psnr_clamps_the_restored_image():
    assert psnr_db(np.full((4, 4, 3), 1.7), np.ones((4, 4, 3))) == float("inf")


def test_ssim_is_one_for_equal_images_and_falls_with_noise():
    sharp = np.random.default_rng(0).random((32, 32, 3))
    noise = np.random.default_rng(1).standard_normal(sharp.shape)
    values = [ssim((sharp + s * noise).clip(0, 1), sharp) for s in (0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1) and values[0] > values[1] > values[2]


def test_images_of_one_scene_count_once():
    mean = clustered_mean([1, 1, 1, 1, 3], list("aaaab"))
    assert (mean.mean, mean.clusters) == (2, 2)
    assert (mean.high - mean.low) / 2 == pytest.approx(stats.t.ppf(0.975, 1) * 1)
    assert clustered_mean([1, 2], "aa").high == float("inf")
    assert clustered_mean([1, 2], "aa").rounded()["high"] is None


def test_the_interval_covers_the_truth_19_times_in_20():
    """Scenes differ by a standard deviation of 1, images of a scene by a tenth of it."""
    rng = np.random.default_rng(0)
    scenes = np.repeat(np.arange(20), 4)
    hits = 0
    for _ in range(2000):
        values = rng.standard_normal(20)[scenes] + 0.1 * rng.standard_normal(80)
        mean = clustered_mean(list(values), list(scenes))
        hits += mean.low <= 0 <= mean.high
    assert 0.935 < hits / 2000 < 0.965


def test_a_summary_gives_the_gain_by_strength_of_the_blur():
    base = {
        "kind": "shake",
        "scene": "a",
        "blurred_psnr_db": 20.0,
        "blurred_ssim": 0.5,
        "ssim": 0.6,
    }
    rows = [
        base | {"strength_px": 1.0, "psnr_db": 23.0},
        base | {"strength_px": 20.0, "psnr_db": 21.0},
    ]
    result = summary(rows)
    assert result["gain_db"]["mean"] == 2
    by_band = {k: v["mean"] for k, v in result["gain_db_by_reach_px"].items()}
    assert by_band == {"0-4": 3, "16-30": 1}


def test_kinds_stand_by_themselves_and_few_scenes_have_no_interval():
    base = {"strength_px": 5.0, "blurred_psnr_db": 20.0, "blurred_ssim": 0.5, "ssim": 0.6}
    shake = [base | {"kind": "shake", "scene": s, "psnr_db": 21.0 + s} for s in range(6)]
    frames = [base | {"kind": "frames", "scene": "dog", "psnr_db": 40.0 + i} for i in range(2)]
    result = summary(shake + frames)
    assert result["images"] == 6 and result["gain_db"]["mean"] == 3.5
    assert result["kinds"]["shake"]["gain_db"] == result["gain_db"]
    dog = result["kinds"]["frames"]
    assert dog["gain_db"] == {"mean": 20.5, "low": None, "high": None, "clusters": 1}
    assert dog["scenes"] == {"dog": 20.5}
    first, second = report(result)
    assert first.startswith("shake: 23.50 dB, +3.50 [+1.54, +5.46] dB over the blurred photo (6 pa")
    assert second.endswith("+20.50 dB over the blurred photo (2 pairs; by scene: dog +20.50)")
