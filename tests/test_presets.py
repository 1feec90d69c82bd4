"""The paper's setting runs end to end on a small folder in GoPro's layout."""

import json
import re
from dataclasses import replace

import pytest
from test_datasets import make_gopro
from test_resume import assert_nearly_same_run, train_in_two_processes

from mimo import campaign, packing, train
from mimo.__main__ import main
from mimo.config import PRESETS, InputError
from mimo.datasets import PairPath
from mimo.packing import FramePairs, FrameTest, pack
from mimo.record import read_rows
from mimo.rows import CAMPAIGNS

PUBLISHED = ("paper", "paper-plus", "gpu")


def small(name):
    """A preset with a small network, small crops and two epochs of 7 pairs; all else its own."""
    config = PRESETS[name].config
    net = replace(config.net, width=8, res_blocks=1)
    halve_epochs = 1 if config.halve_epochs else 0
    return replace(
        config, net=net, epochs=2, halve_epochs=halve_epochs, crop_px=32, workers=0,
        log_steps=1, warmup_steps=min(config.warmup_steps, 2),
        batch_images_global=min(config.batch_images_global, 4),
    )  # fmt: skip


@pytest.fixture(scope="module")
def gopro(tmp_path_factory):
    return make_gopro(tmp_path_factory.mktemp("data") / "gopro")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_preset_runs_end_to_end(gopro, tmp_path, name):
    content = train.train(small(name), tmp_path / "run", folder=gopro, progress=False)
    assert content["config"]["steps"] == 4  # two epochs of 4 + 3 pairs
    assert content["images_seen"] == 14
    rows = read_rows(tmp_path / "run" / "images.csv")
    assert [r["scene"] for r in rows] == ["C_03", "C_03"]
    assert content["data"] == packing.source(gopro, "train", "blur")
    assert content["result"]["images"] == 2


def test_a_network_is_evaluated_on_a_folder(gopro, tmp_path, capsys):
    words = ["evaluate", "tiny", str(gopro), "--json", str(tmp_path / "a.json")]
    assert main(words) == 0
    assert "blur: " in capsys.readouterr().out
    content = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert content["data"] == packing.source(gopro, "test", "blur")
    assert [r["name"].split("/")[0] for r in content["images"]] == ["C_03", "C_03"]
    packing.pack(gopro, "test", tmp_path / "packed" / "test")
    words[2] = str(tmp_path / "packed")
    assert main(words) == 0
    again = json.loads((tmp_path / "a.json").read_text())
    assert again["images"] == content["images"] and again["data"] != content["data"]
    assert main([*words, "--frames", "blur_gamma"]) == 2
    assert "holds test with blur, not test with blur_gamma" in capsys.readouterr().err


def test_a_record_says_which_pairs_it_was_and_a_missing_test_set_is_known_at_once(gopro, tmp_path):
    packed = tmp_path / "packed"
    said = packing.pack(gopro, "train", packed / "train")["sha256"]
    assert packing.source(packed, "train", "blur") == {
        "train": "7 pairs of blur",
        "train_sha256": said,
    }
    with pytest.raises(InputError, match="expected GoPro's"):
        train.train(small("paper"), tmp_path / "run", folder=packed, progress=False)
    assert not (tmp_path / "run").exists()
    other = packing.source(gopro, "train", "blur")
    assert other["train"] == "7 pairs of blur" and other["train_sha256"] != said
    with next(gopro.glob("train/*/sharp/*.png")).open("ab") as file:
        file.write(b"0")
    assert packing.source(gopro, "train", "blur")["train_sha256"] != other["train_sha256"]


def test_rows_at_the_papers_scale_run_on_gopro_and_can_be_checked(gopro, tmp_path, monkeypatch):
    assert CAMPAIGNS["components-paper"]["full"].config == PRESETS["paper"].config
    rows = {"fam-sum": replace(CAMPAIGNS["fusion-paper"]["fam-sum"], seeds=1)}
    rows["fam-sum"] = replace(rows["fam-sum"], config=replace(small("paper"), variant="fam-sum"))
    monkeypatch.setitem(CAMPAIGNS, "fusion-paper", rows)
    monkeypatch.setattr(campaign, "RUNS", tmp_path / "records")
    monkeypatch.setattr(campaign, "UNFINISHED", tmp_path / "unfinished")
    with pytest.raises(InputError, match="say where it is with --data"):
        campaign.run_pair("fusion-paper", ("fam-sum", 0))
    campaign.run_pair("fusion-paper", ("fam-sum", 0), gopro)
    assert campaign.records("fusion-paper")[0]["data"]["train"] == "7 pairs of blur"
    assert campaign.check("fusion-paper", data=gopro).endswith("the same to the last bit")


def test_presets_are_the_authors_setting():
    """Batch 4, crops of 256, Adam 1e-4 halved every 500 of 3000 epochs; dropout in + alone."""
    for name in ("paper", "paper-plus"):
        c = PRESETS[name].config
        assert (c.epochs, c.halve_epochs, c.batch_images_global, c.crop_px) == (3000, 500, 4, 256)
        assert (c.optimizer, c.lr, c.frequency_weight, c.frequency) == (
            "Adam",
            1e-4,
            0.1,
            "both-sides",
        )
        assert (c.clip_norm, c.ema_decay, c.bfloat16, c.zero_heads) == (None, 0.0, False, False)
    plus = PRESETS["paper-plus"].config.net
    assert (plus.res_blocks, plus.aff_dropout) == (20, 0.1)
    assert PRESETS["paper"].config.net.aff_dropout == 0.0


def test_on_gopro_an_epoch_has_526_steps(monkeypatch, gopro):
    """2,103 pairs in batches of 4: 1,578,000 steps in all, halved every 263,000."""
    places = FramePairs(gopro, crop_px=32, batch_images=4, steps=0, seed=0).places
    monkeypatch.setattr(
        "mimo.packing.find_pairs", lambda *a: [PairPath("s", "000001", *places[0])] * 2103
    )
    _, _, config = train.training_pairs(PRESETS["paper"].config, 0, gopro, rank=0, processes=1)
    assert config.steps == 526 * 3000 == 1_578_000
    rates = [train.learning_rate(s, config) for s in (0, 262_999, 263_000, 526_000, 1_577_999)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1e-4 / 32])


def test_frames_that_are_too_small_get_one_line_though_a_worker_finds_them(
    gopro, tmp_path, monkeypatch
):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    config = replace(small("paper"), crop_px=64, workers=1)
    with pytest.raises(InputError) as found:
        train.train(config, tmp_path / "run", folder=gopro, progress=False)
    line = rf"{gopro}/train/\w+/blur/\d+\.png: 48 x 32, too small for crops of 64 pixels"
    assert re.fullmatch(line, str(found.value))


def test_packed_and_unpacked_train_the_same_network(gopro, tmp_path):
    for split in ("train", "test"):
        pack(gopro, split, tmp_path / "packed" / split)
    for name, folder in (("a", gopro), ("b", tmp_path / "packed")):
        train.train(small("paper"), tmp_path / name, folder=folder, progress=False)
    for name in ("metrics.csv", "images.csv"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()
    for one, two in zip(FrameTest(gopro), FrameTest(tmp_path / "packed"), strict=True):
        assert one.name == two.name and (one.blurred == two.blurred).all()


def test_a_smaller_last_batch_shared_unequally_trains_the_same_network(gopro, tmp_path):
    """Of the last 3 pairs of an epoch one process has 2 and the other 1."""
    train_in_two_processes(small("paper"), tmp_path / "two", gopro)
    train.train(small("paper"), tmp_path / "one", folder=gopro, progress=False)
    assert_nearly_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize(
    "words,message",
    [
        ("train paper --out {t}/x", "say where it is with --data"),
        ("train tiny --steps 1 --data {t} --out {t}/x", "it takes no --data"),
        ("train paper --steps 5 --data {t} --out {t}/x", "counts in epochs"),
        ("train paper --data {t}/none --out {t}/x", "none"),
    ],
)
def test_a_mistake_with_the_data_gets_one_line(tmp_path, capsys, words, message):
    assert main(words.format(t=tmp_path).split()) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "; expect " not in line]
    assert len(lines) == 1 and message in lines[0]


def test_a_finished_run_of_the_command_names_its_data(gopro, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PRESETS, "paper", replace(PRESETS["paper"], config=small("paper")))
    assert main(f"train paper --data {gopro} --out {tmp_path}/run".split()) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("blur: ")
    assert json.loads((tmp_path / "run/run.json").read_text())["data"]["train"] == "7 pairs of blur"


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError):
        train.train(small("paper"), tmp_path / "run", folder=tmp_path, progress=False)
