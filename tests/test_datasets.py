"""GoPro and RealBlur on disk: what is wrong with a copy is named, and batches come out exact."""

import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from mimo import datasets
from mimo.__main__ import main
from mimo.config import InputError
from mimo.datasets import check, find_pairs, held_out
from mimo.packing import FramePairs, pack

FRAMES = {"train": {"A_01": 3, "B_02": 4}, "test": {"C_03": 2}}


def write_picture(path, seed, size=(48, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    PILImage.fromarray(pixels).save(path)


def make_gopro(root):
    """A small copy of GoPro: 2 + 1 sequences, 7 + 2 pairs of 48 x 32."""
    for split, sequences in FRAMES.items():
        for sequence, count in sequences.items():
            for n in range(count):
                for kind in ("blur", "blur_gamma", "sharp"):
                    path = root / split / sequence / kind / f"{n + 47:06d}.png"
                    write_picture(path, [n, *map(ord, sequence + kind)])
    return root


def make_realblur(root, camera="J"):
    """A small copy of RealBlur: scenes of pictures of two sizes, and their lists."""
    top = f"RealBlur-{camera}_ECC_IMCORR_centroid_itensity_ref"
    for part, scenes in (("train", ("scene002", "scene244_reflect")), ("test", ("scene001",))):
        lines = []
        for scene in scenes:
            for n in (1, 2, 10):
                pair = [f"{top}/{scene}/{kind}/{kind}_{n}.png" for kind in ("gt", "blur")]
                for name in pair:
                    write_picture(root / name, n, (40, 36) if n == 10 else (48, 32))
                lines.append(" ".join(pair) + " \n")
        (root / f"RealBlur_{camera}_{part}_list.txt").write_text("".join(lines))
    return root


@pytest.fixture
def gopro(tmp_path):
    return make_gopro(tmp_path / "gopro")


@pytest.fixture
def small_gopro(monkeypatch):
    """The small copy's numbers in place of the published ones."""
    published = {s: {n: (47, c) for n, c in part.items()} for s, part in FRAMES.items()}
    monkeypatch.setattr(datasets, "GOPRO", published)
    monkeypatch.setattr(datasets, "GOPRO_SIZE", (48, 32))


def test_the_published_numbers_of_gopro():
    counts = {s: [count for _, count in part.values()] for s, part in datasets.GOPRO.items()}
    assert {s: (len(c), sum(c)) for s, c in counts.items()} == {
        "train": (22, 2103), "test": (11, 1111)}  # fmt: skip
    assert datasets.GOPRO_SIZE == (1280, 720)


@pytest.mark.parametrize("blur", ["blur", "blur_gamma"])
def test_gopro_pairs_are_found_in_order(gopro, blur):
    pairs = find_pairs(gopro, "train", blur)
    assert [p[:2] for p in pairs] == [("A_01", f"{n:06d}") for n in (47, 48, 49)] + [
        ("B_02", f"{n:06d}") for n in (47, 48, 49, 50)
    ]
    folder = gopro / "train" / "A_01"
    assert pairs[0][2:] == (folder / blur / "000047.png", folder / "sharp" / "000047.png")
    assert len(find_pairs(gopro, "test", blur)) == 2


@pytest.mark.parametrize("camera", ["J", "R"])
def test_realblur_is_what_its_lists_say(tmp_path, camera):
    root = make_realblur(tmp_path / "realblur", camera)
    write_picture(root / "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene3/gt/gt_1.png", 0)
    pairs = find_pairs(root, "train", f"RealBlur-{camera}")
    assert {p.sequence for p in pairs} == {"scene002", "scene244_reflect"} and len(pairs) == 6
    assert all(p.blurred.name == p.sharp.name.replace("gt", "blur") for p in pairs)
    assert check(root)[0] == [] and "complete" in check(root)[1]


def test_validation_is_two_whole_sequences_of_22(gopro):
    assert held_out([f"{n:02d}" for n in range(22) for _ in "ab"]) == ["00", "11"]
    published = ["GOPR0372_07_00", "GOPR0386_11_00", "GOPR0384_11_03", "GOPR0884_11_00"]
    assert held_out(published) == ["GOPR0386_11_00", "GOPR0884_11_00"]
    fit, validation, train = (find_pairs(gopro, s) for s in ("fit", "validation", "train"))
    assert sorted(fit + validation) == train
    assert {p.sequence for p in validation} == {"A_01"} and {p.sequence for p in fit} == {"B_02"}


def test_one_sequence_leaves_none_to_fit(gopro, tmp_path):
    os.rename(gopro / "train" / "B_02", tmp_path / "B_02")
    assert len(find_pairs(gopro, "validation")) == len(find_pairs(gopro, "train")) == 3
    pack(gopro, "train", tmp_path / "packed")
    for read, folder in ((find_pairs, gopro), (batches, tmp_path / "packed")):
        with pytest.raises(InputError, match="no pairs for fit: validation takes all of A_01"):
            read(folder, "fit")


def break_nothing_there(root):
    os.rename(root / "train", root / "photos")
    return r"gopro: found photos, test; expected GoPro's train/<sequence>/\{blur,sharp\}/NNNNNN.png"


def break_blurred_twin(root):
    (root / "train/A_01/blur/000048.png").unlink()
    return "train/A_01/blur/000048.png: missing"


def break_sharp_twin(root):
    (root / "train/A_01/sharp/000048.png").unlink()
    return "train/A_01/sharp/000048.png: missing"


def break_size(root):
    write_picture(root / "train/A_01/sharp/000048.png", 0, (48, 16))
    return "train/A_01/blur/000048.png: 48 x 32, but its sharp twin is 48 x 16"


def break_empty_sequence(root):
    (root / "train/D_04/blur").mkdir(parents=True)
    return r"train/D_04: empty; expected \.png"


def break_empty_split(root):
    os.rename(root / "train", root / "old")
    (root / "train").mkdir()
    return "gopro: no pairs for train here"


def break_header(root):
    (root / "train/A_01/sharp/000048.png").write_bytes(b"no picture")
    return "train/A_01/sharp/000048.png: damaged"


BREAKS = [
    break_nothing_there,
    break_blurred_twin,
    break_sharp_twin,
    break_size,
    break_empty_sequence,
    break_empty_split,
    break_header,
]


@pytest.mark.parametrize("damage", BREAKS)
def test_a_damaged_copy_is_refused_in_one_line(gopro, damage):
    message = damage(gopro)
    with pytest.raises(InputError, match=message) as error:
        find_pairs(gopro, "train")
    assert "\n" not in str(error.value)
    find_pairs(gopro, "test")


def test_further_problems_are_counted(gopro):
    break_blurred_twin(gopro), break_header(gopro)
    (gopro / "train/B_02/blur/000047.png").unlink()
    with pytest.raises(InputError, match="000048.png: missing.*and 1 more problems"):
        find_pairs(gopro, "train")


@pytest.mark.parametrize(
    "line,message",
    [
        ("../gt/gt_1.png a/blur/blur_1.png", "leads out of the folder"),
        ("a/gt/gt_1.png /a/blur/blur_1.png", "leads out of the folder"),
        ("only-one-word", "is not of the form 'SHARP BLURRED'"),
        ("a/gt/gt_1.png a/blur/blur_1.png", "a/gt/gt_1.png: missing, but RealBlur_J_train_list"),
    ],
)
def test_a_line_of_a_list_that_leads_nowhere_is_named(tmp_path, line, message):
    root = make_realblur(tmp_path / "realblur")
    (root / "RealBlur_J_train_list.txt").write_text(line)
    with pytest.raises(InputError, match=message):
        find_pairs(root, "train", "RealBlur-J")
    (root / "RealBlur_J_train_list.txt").unlink()
    with pytest.raises(InputError, match="expected the list RealBlur_J_train_list.txt"):
        find_pairs(root, "train", "RealBlur-J")


@pytest.mark.parametrize("words", [("train", "gamma"), ("all", "blur")])
def test_unknown_words_are_refused(gopro, words):
    with pytest.raises(InputError, match="not one of"):
        find_pairs(gopro, *words)


def test_a_complete_copy_has_no_problems(gopro, small_gopro):
    problems, summary = check(gopro, decode=True)
    assert problems == []
    assert summary == (
        f"{gopro}: complete; train/blur 7 pairs, test/blur 2 pairs, "
        "train/blur_gamma 7 pairs, test/blur_gamma 2 pairs"
    )


def test_a_missing_frame_a_missing_sequence_and_a_wrong_size_are_named(gopro, small_gopro):
    for kind in ("blur", "blur_gamma", "sharp"):
        for frame in ("000048", "000050"):  # in the middle, and the last
            (gopro / f"train/B_02/{kind}/{frame}.png").unlink()
        write_picture(gopro / f"test/C_03/{kind}/000047.png", 0, (32, 48))
    os.rename(gopro / "train" / "A_01", gopro / "train" / "Z_09")
    problems, summary = check(gopro)
    assert problems == [
        f"{gopro}/train/Z_09: not a sequence of GoPro's train",
        f"{gopro}/train/A_01: missing, with all its 3 frames",
        f"{gopro}/train/B_02: lacks 000048, 000050 (2 in all)",
        f"{gopro}/train: 5 sound pairs with blur, not 7",
        f"{gopro}/test/C_03/sharp/000047.png: 32 x 48, expected 48 x 32",
        f"{gopro}/test: 1 sound pairs with blur, not 2",
        f"{gopro}/train: 5 sound pairs with blur_gamma, not 7",
        f"{gopro}/test: 1 sound pairs with blur_gamma, not 2",
    ]
    assert "8 problem(s)" in summary


def test_damage_inside_a_picture_is_found_when_asked_for(gopro, small_gopro):
    path = gopro / "train/A_01/blur_gamma/000048.png"
    path.write_bytes(path.read_bytes()[:2000])
    assert check(gopro)[0] == []
    problems, _ = check(gopro, decode=True)
    assert len(problems) == 1 and problems[0].startswith(f"{path}: damaged or cut short")


def batches(folder, split="train", **changes):
    settings = {"crop_px": 16, "batch_images": 4, "steps": 8, "seed": 5}
    return FramePairs(folder, split, **(settings | changes))


@pytest.fixture
def both(gopro, tmp_path):
    """The same pairs in folders and packed."""
    pack(gopro, "train", tmp_path / "packed" / "train")
    return gopro, tmp_path / "packed" / "train"


def test_packed_and_unpacked_give_the_same_batches(both):
    unpacked, packed = map(batches, both)
    for step in range(4):
        for one, two in zip(unpacked[step], packed[step], strict=True):
            assert one.dtype == torch.float32 and torch.equal(one, two)
    for split in ("fit", "validation"):
        one, two = (batches(folder, split, batch_images=1) for folder in both)
        assert one.steps_per_epoch == two.steps_per_epoch and torch.equal(one[2][0], two[2][0])


def test_pairs_of_different_sizes_are_packed(tmp_path):
    root, out = make_realblur(tmp_path / "realblur"), tmp_path / "packed"
    pack(root, "train", out, "RealBlur-J")
    assert sorted(p.name for p in out.glob("*.npy")) == ["40x36.npy", "48x32.npy"]
    assert np.load(out / "40x36.npy", mmap_mode="r").shape == (2, 2, 36, 40, 3)
    one, two = (batches(folder, blur="RealBlur-J") for folder in (root, out))
    assert all(
        torch.equal(a, b) for step in (0, 1) for a, b in zip(one[step], two[step], strict=True)
    )


def test_an_epoch_shows_each_pair_once_and_its_last_batch_is_smaller(gopro):
    for n, pair in enumerate(find_pairs(gopro, "train")):
        PILImage.new("RGB", (48, 32), (n, n, n)).save(pair.sharp)
    data = batches(gopro)
    assert [len(data[step][1]) for step in range(4)] == [4, 3, 4, 3]
    seen = [(255 * data[step][1][:, 0, 0, 0]).round().int().tolist() for step in range(4)]
    assert sorted(seen[0] + seen[1]) == sorted(seen[2] + seen[3]) == list(range(7))
    assert seen[:2] != seen[2:]


def test_gopro_has_526_steps_of_4_in_an_epoch(tmp_path, monkeypatch):
    pair = datasets.PairPath("s", "000001", tmp_path / "a.png", tmp_path / "b.png")
    monkeypatch.setattr("mimo.packing.find_pairs", lambda *_: [pair] * 2103)
    monkeypatch.setattr(FramePairs, "_crop", lambda *_: np.zeros((2, 16, 16, 3), np.uint8))
    data = batches(tmp_path)
    assert data.steps_per_epoch == 526
    assert (len(data[524][0]), len(data[525][0]), len(data[526][0])) == (4, 3, 4)


def test_a_batch_follows_from_seed_and_step(both):
    first, again, other = batches(both[1]), batches(both[1], steps=99), batches(both[1], seed=6)
    assert len(again) == 99
    for one, two in zip(first[3], pickle.loads(pickle.dumps(again))[3], strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first[3][1], other[3][1])
    assert not torch.equal(first[0][1], first[2][1])


def test_places_and_flips_follow_from_the_seed_too(gopro):
    for path in gopro.glob("test/*/*/000048.png"):
        path.unlink()  # with one pair left, there is only one order
    one, other = (batches(gopro, "test", batch_images=1, seed=seed) for seed in (5, 6))
    assert any(not torch.equal(one[step][1], other[step][1]) for step in range(3))


def test_a_dataset_is_sent_to_a_worker_without_its_pixels(both):
    data = batches(both[1])
    data[0]
    assert len(pickle.dumps(data)) < 4000


def test_processes_share_one_global_batch(both):
    whole = batches(both[1])
    parts = [batches(both[1], rank=rank, processes=2) for rank in (0, 1)]
    for step in (0, 1):
        for i in (0, 1):  # blurred, sharp
            for rank in (0, 1):
                assert torch.equal(parts[rank][step][i], whole[step][i][rank::2])
    with pytest.raises(InputError, match="4 processes can't share a last batch of 3"):
        batches(both[1], processes=4)


def test_both_of_a_pair_are_cut_at_one_place_and_mirrored_left_to_right_only(gopro):
    for path in [*gopro.glob("train/*/*/*.png")]:
        y, x = np.mgrid[:32, :48]
        third = np.full_like(x, 200 if "blur" in str(path) else 100)
        PILImage.fromarray(np.stack([y, x, third], 2).astype(np.uint8)).save(path)
    data = batches(gopro)
    seen = set()
    for step in range(120):
        blurred, sharp = ((255 * images).round().int() for images in data[step])
        assert torch.equal(blurred[:, :2], sharp[:, :2])
        assert (blurred[:, 2] == 200).all() and (sharp[:, 2] == 100).all()
        for rows, columns in zip(sharp[:, 0, :, 0], sharp[:, 1, 0, :], strict=True):
            assert (rows.diff() == 1).all() and (columns.diff().abs() == 1).all()
            seen.add((int(rows[0]), int(columns.min()), int(columns[1] - columns[0])))
    assert {s[0] for s in seen} == set(range(17)) and {s[1] for s in seen} == set(range(33))
    assert {s[2] for s in seen} == {1, -1}


def test_what_cannot_be_packed_or_read_is_refused_and_leaves_nothing(both, tmp_path):
    gopro, packed = both
    before = {p: p.read_bytes() for p in packed.iterdir()}
    assert pack(gopro, "train", packed)["split"] == "train"  # what is there is not made again
    with pytest.raises(InputError, match="holds train with blur, not train with blur_gamma"):
        pack(gopro, "train", packed, "blur_gamma")
    with pytest.raises(InputError, match="gopro: already exists"):
        pack(gopro, "train", gopro)
    path = gopro / "train/A_01/blur/000048.png"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="000048.png: damaged or cut short"):
        pack(gopro, "train", tmp_path / "new")
    with pytest.raises(InputError, match="000048.png: damaged or cut short"):
        [batches(gopro)[step] for step in (0, 1)]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        pack(gopro, "test", tmp_path / "file" / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "gopro", "packed"]
    assert before == {p: p.read_bytes() for p in packed.iterdir()}
    with pytest.raises(InputError, match="holds train with blur, not test with blur"):
        batches(packed, "test")
    with pytest.raises(InputError, match="48 x 32, too small for crops of 33 pixels"):
        batches(packed, crop_px=33)[0]
    (packed / "index.json").write_text("{}")
    with pytest.raises(InputError, match="not an index of packed pairs"):
        batches(packed)


def test_an_empty_file_of_packed_pairs_is_refused(both):
    (both[1] / "48x32.npy").write_bytes(b"")
    with pytest.raises(InputError, match="48x32.npy: damaged or missing; pack again"):
        batches(both[1])[0]


def test_the_hash_of_a_packed_copy_sees_pixels_and_names(gopro, tmp_path):
    first = pack(gopro, "train", tmp_path / "1")["sha256"]
    assert pack(gopro, "train", tmp_path / "2")["sha256"] == first
    os.rename(gopro / "train/A_01", gopro / "train/A_02")
    second = pack(gopro, "train", tmp_path / "3")["sha256"]
    write_picture(gopro / "train/A_02/blur/000047.png", 99)
    assert len({first, second, pack(gopro, "train", tmp_path / "4")["sha256"]}) == 3


def test_the_command_checks_and_packs_a_copy(gopro, small_gopro, tmp_path, capsys):
    words = ["fetch", "gopro", f"{gopro}", "--check", "--decode", "--pack", f"{tmp_path}/packed"]
    assert main(words) == 0
    assert "complete" in capsys.readouterr().out
    assert batches(tmp_path / "packed" / "test", "test", batch_images=2).steps_per_epoch == 1
    break_blurred_twin(gopro)
    assert main(["fetch", "gopro", f"{gopro}"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "train/A_01/blur/000048.png: missing" in said[0] and len(said) == 2
    assert main(["fetch", "gopro", f"{tmp_path}/packed"]) == 2
    assert "found test, train" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "name,other,expected",
    [
        ("gopro", "realblur", "GoPro's train and test"),
        ("realblur", "gopro", "RealBlur's RealBlur_J"),
    ],
)
def test_a_copy_is_checked_for_the_data_set_that_was_named(
    gopro, small_gopro, tmp_path, capsys, name, other, expected
):
    make_realblur(tmp_path / "realblur")
    assert main(["fetch", name, f"{tmp_path}/{name}", "--check"]) == 0
    capsys.readouterr()
    assert main(["fetch", name, f"{tmp_path}/{other}", "--check"]) == 2
    said = capsys.readouterr()
    assert f"expected {expected}" in said.err and len(said.err.splitlines()) == 1
    assert said.out == f"{tmp_path}/{other}: no {name}\n"
