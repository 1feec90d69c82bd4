"""Blur that differs from place to place is a mean over light whose middle is the sharp photo."""

import numpy as np
import pytest
import torch
from scipy.ndimage import shift

from mimo import blur, camera

FOCAL_PX = 300.0


def turns(seed=0, reach_px=9.0, shape=(64, 80)):
    return camera.turns(np.random.default_rng(seed), reach_px, shape, FOCAL_PX)


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_reach_is_what_was_asked_for_and_the_mean_place_is_the_middle(seed):
    paths = camera.paths_at(camera.grid(64, 80)[::8, ::8], turns(seed), FOCAL_PX)
    assert blur.reach(paths).mean() == pytest.approx(9, rel=0.01)
    assert abs(paths.mean(axis=1)).max() < 0.1  # pixels; exact but for terms of second order


def test_roll_blurs_the_corners_and_leaves_the_middle():
    angles = np.zeros((9, 3))
    angles[:, 2] = np.linspace(-0.05, 0.05, 9)
    reach = blur.reach(camera.paths_at(camera.grid(65, 65), angles, FOCAL_PX)).reshape(65, 65)
    assert reach[32, 32] < 1e-9
    assert reach[0, 0] == pytest.approx(2 * np.sin(0.05) * 32 * np.sqrt(2), rel=1e-6)


def test_turning_about_the_upright_axis_moves_the_picture_by_focal_length_times_angle():
    path = camera.paths_at(np.zeros((1, 1, 2)), np.array([[0, 0.01, 0]]), FOCAL_PX)
    assert abs(path[0, 0]).max() == pytest.approx(FOCAL_PX * np.tan(0.01))


def test_a_photo_is_blurred_along_the_path_that_is_told():
    """A point of light lands where `paths_at` says, in both axes and with the right sign."""
    photo = np.zeros((61, 61, 3), np.uint8)
    photo[30, 30] = 250
    angles = np.array([[0.01, 0.02, 0.0]])
    blurred, _ = camera.turn_photo(
        photo, angles, np.random.default_rng(0), margin_px=10, focal_px=FOCAL_PX, shot_noise=0.0
    )
    want = camera.paths_at(np.zeros((1, 1, 2)), angles, FOCAL_PX)[0, 0]
    light = (blurred[..., 0] / 255) ** blur.GAMMA
    y, x = camera.grid(41, 41).transpose(2, 0, 1)
    assert ((light * y).sum() / light.sum(), (light * x).sum() / light.sum()) == pytest.approx(
        tuple(want), abs=0.15
    )


def test_a_camera_at_rest_gives_the_photo_back():
    photo = np.random.default_rng(0).integers(0, 250, (40, 44, 3), dtype=np.uint8)
    blurred, sharp = camera.turn_photo(
        photo, np.zeros((3, 3)), np.random.default_rng(0), margin_px=8, focal_px=FOCAL_PX,
        shot_noise=0.0,
    )  # fmt: skip
    assert np.array_equal(blurred, sharp) and np.array_equal(sharp, photo[8:-8, 8:-8])


def test_a_panorama_goes_round():
    panorama = np.zeros((64, 128, 3))
    panorama[:, [0, -1]] = 1.0  # the seam, at heading pi
    light = camera.look(camera.all_round(panorama), np.zeros(3), (33, 33), 20.0, np.pi)[0, 0]
    assert light[16].argmax() == 16 and light[16, 16] > 0.9
    assert torch.allclose(light[16], light[16].flip(0), atol=1e-9)


def test_lamps_of_a_panorama_draw_streaks_brighter_than_white_would():
    panorama = np.full((64, 128, 3), 0.2)
    panorama[:28] = 1.0  # a bright sky sets the exposure
    panorama[32, 64] = 1000.0
    angles = np.zeros((33, 3))
    angles[:, 1] = np.linspace(-0.2, 0.2, 33)
    views = [
        camera.turn_panorama(
            p, angles, np.random.default_rng(0), shape=(33, 41), focal_px=40.0, heading=0.0,
            shot_noise=0.0,
        )[0]
        for p in (panorama, panorama.clip(0, 1))
    ]  # fmt: skip
    assert views[0][16, 15:26].min() == 255 and views[1][16, 15:26].max() < 255


def test_a_thing_passes_and_the_background_stays():
    rng = np.random.default_rng(0)
    background, thing = (rng.integers(0, 250, (60, 60, 3), dtype=np.uint8) for _ in range(2))
    mask = np.zeros((60, 60))
    mask[25:35, 25:35] = 1
    path = np.stack([np.zeros(21), np.linspace(-6, 6, 21)], axis=1)
    blurred, sharp = camera.pass_by(
        background, thing, mask, path, rng, margin_px=10, shot_noise=0.0
    )
    inner = np.s_[10:-10, 10:-10]
    assert np.array_equal(sharp[15:25, 15:25], thing[25:35, 25:35])
    assert np.array_equal(blurred[:14], background[inner][:14])
    # The same by adding up: at each moment the thing lies on top of the background.
    light = np.zeros((60, 60, 3))
    for _, x in path:
        cover = shift(mask, (0, x), order=1)[..., None]
        moved = shift(mask[..., None] * (thing / 255) ** blur.GAMMA, (0, x, 0), order=1)
        light += (1 - cover) * (background / 255) ** blur.GAMMA + moved
    want = (light / len(path)) ** (1 / blur.GAMMA) * 255
    assert abs(blurred.astype(float) - want[inner]).max() <= 0.51
