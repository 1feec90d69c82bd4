"""Restoring: any size, exact tiles, the rotation ensemble, any image file."""

import struct
import sys

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from mimo import MIMOUNet, load, restore
from mimo.__main__ import main
from mimo.config import InputError
from mimo.data import photo_paths, read_photo
from mimo.restore import default_tile_px, read_image, restore_files, restore_image, restore_scales

torch.manual_seed(0)
NET = MIMOUNet(8, 1).eval()
RNG = np.random.default_rng(0)


@given(st.integers(1, 21), st.integers(1, 21))
@settings(max_examples=25, deadline=None)
def test_any_size_comes_back_at_its_size(height, width):
    image = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    full, half, quarter = restore_scales(image, NET)
    assert full.shape == image.shape and full.dtype == np.uint8
    assert half.shape == (-(-height // 2), -(-width // 2), 3)
    assert quarter.shape == (-(-height // 4), -(-width // 4), 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_float_image_is_the_networks_own_output_clamped(dtype):
    image = RNG.random((16, 24, 3)).astype(dtype)
    restored = restore(image, NET)
    with torch.no_grad():
        want = NET(torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None])[0]
    assert restored.dtype == dtype
    assert np.allclose(restored, want[0].permute(1, 2, 0).clamp(0, 1).numpy(), atol=1e-6)


@pytest.mark.parametrize("tile_px", [16, 40, 101])
def test_tiles_give_the_whole(tile_px):
    image = RNG.random((150, 210, 3)).astype(np.float32)
    for whole, tiled in zip(
        restore_scales(image, NET), restore_scales(image, NET, tile_px=tile_px), strict=True
    ):
        assert abs(whole - tiled).max() < 1e-5


def test_a_photo_is_tiled_where_the_network_would_need_too_much_memory(monkeypatch):
    full_hd = default_tile_px(MIMOUNet(32, 1), 1080, 1920)
    assert 256 < full_hd < 1920 and default_tile_px(MIMOUNet(32, 8), 1080, 1920) < full_hd
    assert default_tile_px(NET, 1080, 1920) == default_tile_px(MIMOUNet(32, 8), 720, 1920) == 1920
    assert default_tile_px(MIMOUNet(256, 20), 4000, 6000) == 256
    image, ran = RNG.random((300, 400, 3)).astype(np.float32), []
    whole = restore(image, NET)
    monkeypatch.setattr(sys.modules["mimo.restore"], "MEMORY_BYTES", 200 * 200 * 8 * 120)
    hook = NET.register_forward_hook(lambda _net, inputs, _out: ran.append(inputs[0].shape))
    tiled = restore(image, NET)
    hook.remove()
    assert len(ran) > 1 and max(s[-1] * s[-2] for s in ran) <= (256 + 2 * 48) ** 2
    assert abs(tiled - whole).max() < 1e-5


def test_half_precision_is_near_and_not_the_same(tmp_path):
    image = read_photo(photo_paths("test")[0])[:200, :256]
    PILImage.fromarray(image).save(tmp_path / "a.png")
    net = load("small", "cpu")
    exact, near = (restore(image / 255, net, bfloat16=fast) for fast in (False, True))
    assert 0 < abs(exact - near).max() < 0.02 and abs(exact - near).mean() < 0.0005
    assert abs(exact - image / 255).mean() > 4 * abs(exact - near).mean()  # what the network does
    words = ["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--model", "small"]
    assert main([*words, "--bfloat16"]) == 0
    assert np.array_equal(read_photo(tmp_path / "b.png"), restore(image, net, bfloat16=True))


def test_the_ensemble_turns_and_turns_back():
    """The mean over rotations does not care how the photo is held; a single pass does."""
    image = RNG.random((16, 24, 3)).astype(np.float32)
    upright, turned = (restore(i, NET, ensemble=4) for i in (image, np.rot90(image)))
    assert np.allclose(np.rot90(upright), turned, atol=1e-5)
    assert not np.allclose(np.rot90(restore(image, NET)), restore(np.rot90(image), NET), atol=1e-5)


@pytest.mark.parametrize(
    "image,how,message",
    [
        (np.zeros((4, 4), np.uint8), {}, "expected an image"),
        (np.zeros((4, 4, 4), np.uint8), {}, "expected an image"),
        (np.zeros((0, 4, 3), np.uint8), {}, "expected an image"),
        (np.zeros((4, 4, 3), np.int64), {}, "expected uint8 or float"),
        (np.full((4, 4, 3), 200.0), {}, "expected floats in"),
        (np.zeros((4, 4, 3)), {"ensemble": 8}, "ensemble is 1 or 4"),
        (np.zeros((4, 4, 3)), {"tile_px": 3}, "at least 4"),
    ],
)
def test_other_arrays_are_refused(image, how, message):
    with pytest.raises(ValueError, match=message):
        restore(image, NET, **how)


def modes() -> dict[str, PILImage.Image]:
    colour = RNG.integers(0, 256, (9, 14, 3), dtype=np.uint8)
    rgb = PILImage.fromarray(colour)
    alpha = PILImage.fromarray(RNG.integers(0, 256, (9, 14), dtype=np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    la = rgb.convert("L")
    la.putalpha(alpha)
    seen_through = rgb.copy()
    seen_through.info["transparency"] = rgb.getpixel((3, 4))
    deep = PILImage.fromarray(RNG.integers(0, 65536, (9, 14)).astype(np.uint16))
    return {
        "rgb.png": rgb,
        "grey.png": rgb.convert("L"),
        "one-bit.png": rgb.convert("1"),
        "palette.png": rgb.convert("P"),
        "alpha.png": rgba,
        "grey-alpha.png": la,
        "one-colour.png": seen_through,
        "deep.png": deep,
        "ink.jpg": rgb.convert("CMYK"),
        "ink.tif": rgb.convert("CMYK"),
        "photo.webp": rgb,
        "dot.png": rgb.crop((0, 0, 1, 1)),
    }


MODES = modes()


@pytest.mark.parametrize("name", MODES)
def test_every_kind_of_image_comes_back_as_a_user_expects(tmp_path, name):
    MODES[name].save(tmp_path / name)
    out = tmp_path / "restored.png"
    assert restore_files(tmp_path / name, out, NET) == []
    with PILImage.open(out) as restored:
        assert restored.size == MODES[name].size
        want = {"grey.png": "L", "deep.png": "I;16"}
        want |= dict.fromkeys(("alpha.png", "grey-alpha.png", "one-colour.png"), "RGBA")
        assert restored.mode == want.get(name, "RGB")
        if restored.mode == "RGBA":
            alpha = MODES[name].convert("RGBA").getchannel("A")
            assert alpha.getextrema()[0] < 255
            assert restored.getchannel("A").tobytes() == alpha.tobytes()


def test_16_bits_stay_16_bits(tmp_path):
    image = MODES["deep.png"]
    identity = MIMOUNet(8, 1).eval()
    for parameter in identity.head.parameters():
        torch.nn.init.zeros_(parameter)
    got = np.asarray(restore_image(image, identity)[0]).astype(int)
    assert abs(got - np.asarray(image)).max() <= 1


def test_16_bits_of_the_other_byte_order_are_read_as_they_are(tmp_path):
    deep = np.asarray(MODES["deep.png"])
    tifffile.imwrite(tmp_path / "big.tif", deep, byteorder=">")
    assert np.array_equal(np.asarray(read_image(tmp_path / "big.tif")), deep)


def test_a_photo_held_sideways_is_turned_upright(tmp_path):
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.new("RGB", (8, 4)).save(tmp_path / "side.jpg", exif=exif)
    assert read_image(tmp_path / "side.jpg").size == (4, 8)


@pytest.mark.parametrize("name", ["side.jpg", "side.png", "side.webp"])
def test_a_tag_of_an_odd_type_does_not_keep_a_photo_from_being_turned(tmp_path, name):
    tags = struct.pack("<HHIHxx HHI4s", 274, 3, 1, 6, 320, 2, 4, b"odd")  # 320 holds numbers
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(4)
    PILImage.new("RGB", (8, 4)).save(tmp_path / name, exif=exif)
    assert read_image(tmp_path / name).size == (4, 8)


def test_a_photo_damaged_in_an_odd_way_does_not_stop_the_others(tmp_path):
    for name in ("a.tif", "b.tif"):
        MODES["rgb.png"].save(tmp_path / name)
    place = struct.pack("<HH", 273, 4)  # where the pixels are: a number, and now a text
    damaged = (tmp_path / "a.tif").read_bytes().replace(place, struct.pack("<HH", 273, 2))
    (tmp_path / "a.tif").write_bytes(damaged)
    problems = restore_files(tmp_path, tmp_path / "out", NET)
    assert len(problems) == 1 and "a.tif: damaged or cut short" in problems[0]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.tif"]


def test_the_colour_profile_is_kept(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    MODES["rgb.png"].save(tmp_path / "a.png", icc_profile=profile)
    restore_files(tmp_path / "a.png", tmp_path / "b.jpg", NET)
    with PILImage.open(tmp_path / "b.jpg") as out:
        assert out.info["icc_profile"] == profile


@pytest.mark.parametrize(
    "name,space,kept",
    [
        ("rgb.png", b"RGB ", True),
        ("palette.png", b"RGB ", True),
        ("alpha.png", b"RGB ", True),
        ("grey.png", b"GRAY", True),
        ("deep.png", b"GRAY", True),
        ("grey-alpha.png", b"GRAY", False),  # written as RGBA
        ("palette.png", b"GRAY", False),
        ("ink.tif", b"CMYK", False),
    ],
)
def test_a_profile_is_kept_for_the_colours_that_it_describes(tmp_path, name, space, kept):
    profile = bytes(16) + space + bytes(108)
    MODES[name].save(tmp_path / name, icc_profile=profile)
    assert restore_files(tmp_path / name, tmp_path / "out.png", NET) == []
    with PILImage.open(tmp_path / "out.png") as out:
        assert out.info.get("icc_profile") == (profile if kept else None)


def test_a_folder_is_restored_photo_by_photo(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("rgb.png", "photo.webp"):
        MODES[name].save(source / name)
    (source / "notes.txt").write_text("not a photo")
    (source / "broken.png").write_text("not a photo")
    problems = restore_files(source, tmp_path / "out", NET, all_scales=True)
    assert [p.split(":")[0] for p in problems] == [str(source / "broken.png")]
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == [f"{n}{s}.{e}" for n, e in (("photo", "webp"), ("rgb", "png"))
                     for s in ("-half", "-quarter", "")]  # fmt: skip


def test_a_failed_write_leaves_nothing_under_the_final_name(tmp_path, monkeypatch):
    MODES["rgb.png"].save(tmp_path / "a.png")
    (tmp_path / "out.png").write_bytes(b"what was there before")

    def full(self, file, **how):
        open(file, "wb").write(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PILImage.Image, "save", full)
    problems = restore_files(tmp_path / "a.png", tmp_path / "out.png", NET)
    assert len(problems) == 1 and "No space left" in problems[0]
    assert (tmp_path / "out.png").read_bytes() == b"what was there before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "out.png"]


def test_a_truncated_photo_is_told_as_such(tmp_path):
    PILImage.fromarray(RNG.integers(0, 256, (99, 99, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:3000])
    with pytest.raises(InputError, match="a.jpg: damaged or cut short"):
        read_image(tmp_path / "a.jpg")
