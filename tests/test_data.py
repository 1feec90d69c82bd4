"""Training pairs follow from seed and step alone; the test set is the same bits everywhere."""

import hashlib
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from mimo import blur
from mimo.config import BlurConfig, InputError
from mimo.data import (
    BANDS_PX,
    Drawn,
    ShakePairs,
    halved,
    listing_hash,
    most_textured,
    photo_paths,
    read_photo,
    shake_test,
    texture,
)

TEST_SET_SHA256 = "61aba48bc5243caf2303da8a62ddd4ce3dc8b1a0bc77b3df38be29ba359ff992"


def pairs(**changes):
    photos = [read_photo(p) for p in photo_paths("train")[:3]]
    settings = {"crop_px": 32, "batch_images": 4, "steps": 10, "seed": 5}
    return ShakePairs(photos, BlurConfig(), **(settings | changes))


def test_a_batch_follows_from_seed_and_step():
    first, again, other = pairs(), pairs(steps=99), pairs(seed=6)
    for one, two in zip(first[3], again[3], strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first[3][1], first[4][1])
    assert not torch.equal(first[3][1], other[3][1])


def test_what_is_drawn_is_shaken_later_as_it_would_be_at_once():
    at_once, drawn = pairs(), Drawn(pairs())
    assert len(drawn) == len(at_once) and drawn[3][0].dtype == torch.uint8
    for one, two in zip(at_once[3], at_once.shaken(*drawn[3]), strict=True):
        assert torch.equal(one, two)


def test_processes_share_one_global_batch():
    whole = pairs()[2]
    parts = [pairs(rank=rank, processes=2)[2] for rank in (0, 1)]
    for i in (0, 1):  # blurred, sharp
        assert torch.equal(torch.stack([p[i] for p in parts], 1).flatten(0, 1), whole[i])


def test_a_batch_is_float32_images_of_bytes():
    for images in pairs()[0]:
        assert images.shape == (4, 3, 32, 32) and images.dtype == torch.float32
        assert torch.allclose(images * 255, (images * 255).round(), atol=1e-3)


def test_without_blur_and_noise_both_are_the_photo():
    still = BlurConfig(reach_px=(0.0, 1e-6), shot_noise=(0.0, 0.0), highlight_gain=(1.0, 1.0))
    data = pairs()
    blurred, sharp = ShakePairs(data.photos, still, crop_px=32, batch_images=4, steps=1, seed=0)[0]
    assert torch.allclose(blurred, sharp, atol=1e-6)


def test_a_share_of_crops_is_left_as_it_is():
    data = pairs(batch_images=16)
    half_still = BlurConfig(still_share=0.5)
    mixed = ShakePairs(data.photos, half_still, crop_px=32, batch_images=16, steps=10, seed=5)
    (blurred, sharp), (before, _) = mixed[7], data[7]
    still = torch.tensor([torch.equal(b, s) for b, s in zip(blurred, sharp, strict=True)])
    assert 3 < still.sum() < 13
    assert torch.equal(blurred[~still], before[~still])


def reaches(config, step=0, **changes):
    """What is drawn for the crops of a step."""
    photos = pairs().photos
    how = {"crop_px": 32, "batch_images": 64, "steps": 100, "seed": 0} | changes
    with mock.patch.object(blur, "trajectories", wraps=blur.trajectories) as drawing:
        ShakePairs(photos, config, **how)[step]
    return drawing.call_args.args[1]


def test_weak_blur_can_be_drawn_more_often():
    """With power 2, half of the crops are blurred by less than a quarter of the largest reach."""
    even, weak = (
        reaches(BlurConfig(reach_px=(0.0, 16.0), reach_power=power)) for power in (1.0, 2.0)
    )
    assert (even < 4).mean() == pytest.approx(0.25, abs=0.1)
    assert (weak < 4).mean() == pytest.approx(0.5, abs=0.1)
    assert np.allclose(weak, 16 * (even / 16) ** 2)


def test_crops_are_turned_only_if_asked_for_and_all_else_stays():
    down = np.repeat(np.arange(200, dtype=np.uint8)[:, None, None], 300, axis=1).repeat(3, axis=2)
    kept, turned = (pairs(turned=t) for t in (False, True))
    for each in (kept, turned):
        each.photos = [down] * 3
        each.tiles = [(0, 1, 1)] * len(each.tiles)
    drawn = [[each.drawn(step) for step in range(4)] for each in (kept, turned)]
    upright = [[bool((w[:, 1:] > w[:, :-1]).all()) for w, *_ in steps] for steps in drawn]
    assert all(upright[0]) and not any(upright[1])
    for one, two in zip(*drawn, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[1:], two[1:], strict=True))
        assert torch.equal(one[0].flatten(1).sort()[0], two[0].flatten(1).sort()[0])  # same place


def test_blur_can_grow_over_the_first_steps():
    config = BlurConfig(reach_px=(2.0, 12.0))
    for step, largest in ((0, 2.0), (25, 7.0), (50, 12.0), (99, 12.0)):
        drawn = reaches(config, step, ramp_steps=50)
        assert 2 <= drawn.min() and 0.9 * largest < drawn.max() <= largest


def test_a_halved_photo_is_the_mean_light():
    photo = np.zeros((5, 4, 3), np.uint8)
    photo[0, 0] = 255
    small = halved(photo)
    assert small.shape == (2, 2, 3)
    assert small[0, 0, 0] == round(255 * 0.25 ** (1 / 2.2)) and small[1, 1, 0] == 0


def test_textured_places_are_drawn_more_often():
    photo = np.zeros((200, 400, 3), np.uint8)
    photo[:, 200:] = np.random.default_rng(0).integers(0, 255, (200, 200, 3))
    data = ShakePairs([photo], BlurConfig(), crop_px=32, batch_images=4, steps=10, seed=0)
    share = np.mean([data[step][1].std(dim=(1, 2, 3)).numpy() > 0.1 for step in range(10)])
    assert share > 0.9


@pytest.mark.parametrize("draw", [0.0, np.nextafter(1, 0)])
def test_the_smallest_and_the_largest_draw_hit_a_tile(draw):
    class Extreme(np.random.Generator):
        def random(self):
            return draw

    data = pairs()
    data.cumulative = data.cumulative * 0.999  # its end need not be any particular number
    window = data._window(Extreme(np.random.PCG64(0)))
    assert window.shape == (data.window_px, data.window_px, 3)


def test_a_photo_too_small_for_the_crop_is_refused():
    with pytest.raises(InputError, match="photo 0 is 90 x 80.*need 94"):
        photo = np.zeros((80, 90, 3), np.uint8)
        ShakePairs([photo], BlurConfig(), crop_px=32, batch_images=1, steps=1, seed=0)


def test_photos_are_found_as_cameras_name_them(tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("DSC_2.JPG", "a.jpg", "notes.txt"):
        (tmp_path / "train" / name).touch()
    assert [p.name for p in photo_paths("train", tmp_path)] == ["DSC_2.JPG", "a.jpg"]


def test_grey_with_more_than_8_bits_is_refused_and_not_cut_off(tmp_path):
    path = tmp_path / "a.tif"
    for mode in ("I;16", "I;16B", "I", "F"):
        PILImage.new(mode, (5, 4), 40).save(path)
        with pytest.raises(InputError, match=f"a.tif: holds {mode} pixels; convert it to 8 bits"):
            read_photo(path)
    for mode in ("1", "L", "P", "LA", "RGBA", "CMYK"):
        PILImage.new(mode, (5, 4)).save(path)
        assert read_photo(path).shape == (4, 5, 3)


def test_an_empty_split_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="no photos"):
        photo_paths("train", tmp_path)


def test_the_most_textured_square_is_found():
    photo = np.zeros((256, 320, 3), np.uint8)
    photo[64:160, 128:224] = np.random.default_rng(0).integers(0, 255, (96, 96, 3))
    assert most_textured(photo, 90) == (64, 128)
    assert texture(photo).shape == (7, 9)


def test_a_hash_of_files_sees_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    before = listing_hash([tmp_path / "a"])
    (tmp_path / "a").write_text("2")
    assert listing_hash([tmp_path / "a"]) != before
    (tmp_path / "b").write_text("1")
    assert listing_hash([tmp_path / "b"]) != before


@pytest.fixture(scope="module")
def test_set():
    return list(shake_test())


def test_the_test_set_has_each_photo_at_four_strengths(test_set):
    assert len(test_set) == 20 * len(BANDS_PX)
    assert {p.scene for p in test_set} == {p.stem for p in photo_paths("test")}
    for pair, (low, high) in zip(test_set, BANDS_PX * 20, strict=True):
        assert low <= pair.strength_px < high
        assert pair.blurred.shape == pair.sharp.shape == (320, 320, 3)


def test_stronger_blur_is_further_from_the_photo(test_set):
    errors = np.array([np.mean((p.blurred / 255 - p.sharp / 255) ** 2) for p in test_set])
    assert (np.diff(errors.reshape(20, 4).mean(axis=0)) > 0).all()


def test_the_test_set_is_the_same_bits_everywhere(test_set):
    digest = hashlib.sha256()
    for pair in test_set:
        digest.update(f"{pair.name} {pair.strength_px:.3f}".encode())
        digest.update(pair.blurred.tobytes() + pair.sharp.tobytes())
    assert digest.hexdigest() == TEST_SET_SHA256
