"""What pages share to show things; what the sliders do is tested in a browser."""

import io
import xml.etree.ElementTree as ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from mimo import MIMOUNet, blur
from mimo.compare import Effect, Judged
from mimo.data import DATA, photo_paths, read_photo
from mimo.drawing import WIRES, network_map
from mimo.figures import (
    authors,
    claim,
    claims,
    feature_maps,
    intervals,
    picture,
    planned_claims,
    planned_rows,
    row,
    source,
    spectrum_db,
    table,
    verdicts,
)
from mimo.metrics import Mean, psnr_db
from mimo.plan import CLAIMS, Claim
from mimo.rows import CAMPAIGNS
from mimo.widgets import Compare, Restore, encode, levels, rounded

PHOTO = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_pictures_in_a_slider_keep_size_and_nearly_their_values():
    photo = read_photo(photo_paths("test")[0])[:200, :300]
    for image in (photo, photo / 255):
        shown = np.asarray(PILImage.open(io.BytesIO(encode(image))).convert("RGB"))
        assert shown.shape == photo.shape and psnr_db(shown / 255, photo / 255) > 33


def test_two_pictures_make_a_wipe_and_more_make_steps():
    assert Compare([PHOTO] * 2, ["a", "b"], "noise").mode == "wipe"
    steps = Compare([PHOTO] * 3, ["a", "b", "c"], "noise", start=1)
    assert (steps.mode, steps.position, len(steps.pictures)) == ("steps", 1, 3)


@pytest.mark.parametrize("images,labels", [([PHOTO], ["a"]), ([PHOTO] * 2, ["a"])])
def test_pictures_without_labels_are_refused(images, labels):
    with pytest.raises(ValueError, match="at least 2 of each"):
        Compare(images, labels, "noise")


def test_the_network_of_the_page_is_given_all_weights_and_where_they_are():
    nets = {"one": MIMOUNet(4, 2), "other": MIMOUNet(8, 1)}
    widget = Restore(nets, PHOTO)
    assert [(of["name"], of["blocks"]) for of in widget.networks] == [("one", 2), ("other", 1)]
    for net, of in zip(nets.values(), widget.networks, strict=True):
        places, start = of["places"], of["start"]
        assert places.keys() == net.state_dict().keys()
        first, at, *shape = places["up.1.0.weight"]
        steps = np.frombuffer(widget.weights, np.float32, shape[0], 4 * first)
        numbers = np.frombuffer(widget.weights, np.int8, int(np.prod(shape)), start + at)
        there = numbers.reshape(shape) * steps[:, None, None, None]
        given = net.up["1"][0].weight.detach()
        np.testing.assert_array_equal(there, rounded(net).up["1"][0].weight.detach())
        np.testing.assert_allclose(there, given, atol=float(steps.max()) / 2)
    assert len(widget.weights) == start + sum(
        p.numel() for of in nets.values() for p in of.parameters()
    )


def test_rounded_weights_are_few_and_biases_are_as_they_were():
    net = MIMOUNet(8, 1)
    copied = rounded(net)
    row = copied.head["1"].weight[0].detach()
    assert 0 < abs(row - net.head["1"].weight[0]).max() <= abs(row).max() / 254 * 1.001
    torch.testing.assert_close(copied.stem[0].bias, net.stem[0].bias)
    torch.testing.assert_close(rounded(copied).head["1"].weight, copied.head["1"].weight)


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_weights_of_any_precision_are_sent_without_their_gradient(shape):
    weights = torch.nn.Parameter(torch.ones(shape, dtype=torch.bfloat16))
    numbers, step = levels(weights)
    assert numbers.numpy().min() == 127 and step.numpy().dtype == np.float32


def test_shown_code_is_the_packages_own():
    shown = source(blur.reach).data
    assert shown.startswith("```python\ndef reach(") and "np.sqrt(square.max" in shown


def test_a_table_is_markdown():
    assert table(["a", "b"], [["x", 1]]).data == "| a | b |\n| :-- | --: |\n| x | 1 |"


def test_columns_of_numbers_are_flush_right_and_words_are_not():
    rows = [["1", "+0.3 [0.1, 0.5]", "2 of them", ""], ["2", "–", "3 of them", "-1"]]
    assert table(list("abcd"), rows).data.splitlines()[1] == "| --: | --: | :-- | --: |"


def test_images_stand_in_a_row():
    axes = row([PHOTO, PHOTO[:, :, 0]], ["colour", "grey"]).axes
    assert [axis.get_title() for axis in axes] == ["colour", "grey"]


def test_feature_maps_share_the_range_of_their_row_and_are_white_at_zero():
    small = torch.stack([torch.full((4, 6), v) for v in (0.0, -1.0, 0.5)])
    axes = feature_maps({"small": small, "large": 100 * small}, [1, 2]).axes
    ends = [axis.images[0].get_clim() for axis in axes]
    assert ends == [(-1, 1), (-1, 1), (-100, 100), (-100, 100)]
    assert [axis.get_title() for axis in axes[:2]] == ["channel 1", "channel 2"]
    assert [axis.images[0].get_array().max() for axis in axes] == [-1, 0.5, -100, 50]
    blank = feature_maps({"nothing": torch.zeros(1, 4, 6)}, [0]).axes[0].images[0]
    assert blank.to_rgba(np.zeros((1, 1))).min() > 0.95  # white


def test_intervals_stand_one_below_the_other_from_their_low_to_their_high_end():
    found = {"first": Mean(0.1, 0.0, 0.2, 6), "second": Mean(-0.3, -0.4, -0.2, 6)}
    axis = intervals(found, smallest=0.05, ends=(-1.0, 1.0), label="difference, dB").axes[0]
    lines = [tuple(line.get_xdata()) for line in axis.lines if line.get_lw() == 2]
    assert lines == [(0.0, 0.2), (-0.4, -0.2)]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["first", "second"]
    assert axis.yaxis_inverted() and axis.get_xlim() == (-1, 1)


def test_a_figure_becomes_a_picture_of_its_size():
    figure = row([PHOTO], ["noise"], width=3.0)
    width, height = figure.get_size_inches() * figure.dpi
    shape = picture(figure).shape
    assert shape == (int(height), int(width), 3) and not plt.fignum_exists(figure.number)


def test_the_spectrum_of_a_wave_has_its_peak_at_the_waves_frequency():
    wave = 0.5 + 0.4 * np.cos(2 * np.pi * 8 * np.arange(64) / 64)
    spectrum = spectrum_db(np.broadcast_to(wave[None, :, None], (64, 64, 3)))
    y, x = np.unravel_index(spectrum.argmax(), spectrum.shape)
    assert (y - 32, abs(x - 32)) == (0, 8)


def test_a_claim_is_printed_with_its_unit_and_has_its_sources():
    assert claim("mimo-unet-gopro") == "31.73 dB"
    for name, entry in claims().items():
        assert entry["what"], name
        if entry["value"] is None:  # a place that waits for a number
            assert not entry["sources"] and entry["confirmed"] == 0, name
        else:
            assert entry["sources"] and entry["confirmed"] >= 1, name


def test_a_verdict_stands_beside_the_authors_numbers_where_both_rows_have_one(monkeypatch):
    effect = Effect(0.123, 0.02, freedom=8.0, seeds=6, scenes=20)
    alone = Claim("first", "components/full", "components/unet", primary=True)
    other = Claim("second", "components/full", "components/mise-mosd-aff")
    both = [Judged(c, effect, "supported") for c in (alone, other)]
    lines = verdicts(both).data.splitlines()
    assert lines[1] == "| :-- | :-- | --: | --: |"
    assert lines[2] == "| **first**: `full` over `unet` | supported | +0.123\xa0±\xa00.046 |  |"
    assert lines[3].endswith("`mise-mosd-aff` | supported | +0.123\xa0±\xa00.046 | +0.27 |")
    entered = claims() | {"components-unet": {"row": "components/unet", "value": 31.0}}
    monkeypatch.setattr("mimo.figures.claims", lambda: entered)
    assert verdicts(both).data.splitlines()[2].endswith("| +0.73 |")


def test_each_number_beside_a_row_names_a_row_that_no_other_names():
    beside = [entry["row"] for entry in claims().values() if "row" in entry]
    rows = {f"{family}/{name}" for family, of in CAMPAIGNS.items() for name in of}
    assert len(beside) == len(set(beside)) and set(beside) <= rows
    assert all("row" in entry for entry in claims().values() if entry["value"] is None)
    assert authors("components/mise-mosd-aff")["value"] == 31.46
    assert authors("components/unet")["value"] is None is authors("clean/full")["value"]


def test_verdicts_on_weak_blur_stand_beside_the_same_claims():
    here, there = (
        [Judged(CLAIMS[family][0], Effect(mean, 0.02, freedom=8.0, seeds=6, scenes=20), verdict)]
        for family, mean, verdict in (
            ("fusion", 0.123, "supported"),
            ("clean-fusion", 0.045, "not resolved"),
        )
    )
    title, _, line = verdicts(here, there).data.splitlines()
    assert title == "| Claim | Verdict | Difference, dB ± 95 % | On weak blur | Difference there |"
    assert line.endswith(
        "| supported | +0.123\xa0±\xa00.046 | not resolved | +0.045\xa0±\xa00.046 |"
    )


def test_verdicts_of_several_families_say_which():
    effect = Effect(0.123, 0.02, freedom=8.0, seeds=6, scenes=20)
    of = [Judged(CLAIMS[family][0], effect, "supported") for family in ("fusion", "ledger")]
    assert "Family" not in verdicts(of[:1]).data
    title, _, *lines = verdicts(of).data.splitlines()
    assert title == "| Claim | Verdict | Difference, dB ± 95 % | Family |"  # none of theirs
    assert [line.split("|")[-2].strip() for line in lines] == ["`fusion`", "`ledger`"]


def test_rows_and_claims_of_the_plan_are_listed_by_family():
    rows = planned_rows(["depth", "clean-depth"]).data
    assert "| `depth` | `blocks-2` | half the residual blocks |" in rows
    assert "| `clean-depth` | `blocks-8` | twice the residual blocks | 1,705,923 | 3 |" in rows
    lines = planned_claims(["components", "recipe", "depth"]).data.splitlines()
    assert "| components | **MIMO-UNet beats the plain U-Net** | `full` | `unet` |" in lines
    assert "| depth | 8 residual blocks beat 4 | `blocks-8` | `full` |" == lines[-1]


def test_no_claim_is_entered_twice():
    """YAML would keep the last one and say nothing."""
    lines = (DATA.parent / "book" / "claims.yml").read_text().splitlines()
    names = [line for line in lines if line.endswith(":") and not line.startswith((" ", "#"))]
    assert len(names) == len(set(names)) == len(claims())


def test_a_map_has_each_part_of_the_network_and_the_named_ones_in_colour():
    def boxes(*lit):
        root = ElementTree.fromstring(network_map(*lit).data)
        return [b.get("fill-opacity") for b in root.findall("{*}rect") if b.get("fill-opacity")]

    traced = MIMOUNet(8, 1).trace(torch.zeros(1, 3, 16, 16))
    images = {f"{letter}.{k}" for letter in "BS" for k in (1, 2, 3)}
    assert set(WIRES) == set(traced) | {f"S.{k}" for k in (1, 2, 3)}
    assert len(boxes()) == len(set(traced) | images) and set(boxes()) == {"0"}
    assert boxes("scm").count("0.3") == 2 and boxes("scm.2", "B.1").count("0.3") == 2
    with pytest.raises(ValueError, match="no part of the network: attention"):
        network_map("attention", "fam")


def test_the_readme_shows_what_is_added_to_a_unet():
    small = [f"{part}.{k}" for part in ("B", "head", "S") for k in (2, 3)]
    drawn = DATA.parent / "book" / "network.svg"
    assert drawn.read_text() == network_map("scm", "fam", "aff", *small).data + "\n"
    assert "(book/network.svg)" in (DATA.parent / "README.md").read_text()
