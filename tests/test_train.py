"""Training: the loop learns, resumes exactly, and leaves a complete record."""

import csv
import json
import math
import subprocess
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from filelock import FileLock

from mimo import data, precision, record, testset, train
from mimo.config import PRESETS, BlurConfig, InputError, NetConfig, TrainConfig
from mimo.losses import total_loss
from mimo.metrics import psnr_db
from mimo.restore import restore
from mimo.weights import load

CONFIG = TrainConfig(
    net=NetConfig(width=8, res_blocks=1),
    blur=BlurConfig(reach_px=(0.0, 4.0)),
    steps=4,
    batch_images_global=2,
    crop_px=32,
    lr=1e-3,
    log_steps=2,
    ema_decay=0.5,
)


@pytest.fixture(autouse=True)
def few_photos(monkeypatch):
    """Three training photos and eight test pairs are enough here."""
    few = tuple(p for p, _ in zip(data.shake_test("validation"), range(8), strict=False))
    monkeypatch.setattr(train, "photo_paths", lambda split: data.photo_paths(split)[:3])
    monkeypatch.setattr(testset, "pairs", lambda name: few)


def test_a_run_leaves_record_and_weights(tmp_path):
    out = tmp_path / "run"
    config = replace(CONFIG, budgets_steps=(2,))
    train.train(config, out, seed=3, command="python -m mimo train some")
    assert sorted(p.name for p in out.iterdir()) == [
        "images.csv", "metrics.csv", "run.json", "weights.safetensors"]  # fmt: skip
    content = json.loads((out / "run.json").read_text())
    keys = "command seed config git versions hardware data protocol started wall_s images_seen"
    assert set(content) == {*keys.split(), "weights_sha256", "result", "budgets"}
    assert content["seed"] == 3 and content["images_seen"] == 8
    assert content["config"]["net"] == {"width": 8, "res_blocks": 1, "aff_dropout": 0.0}
    assert list(content["budgets"]) == ["2", "4"] and content["budgets"]["4"] == content["result"]
    with (out / "images.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["step"] for r in rows] == ["2"] * 8 + ["4"] * 8
    with (out / "metrics.csv").open() as file:
        assert [r["step"] for r in csv.DictReader(file)] == ["2", "4"]


def test_the_recorded_result_is_that_of_the_kept_weights(tmp_path):
    content = train.train(CONFIG, tmp_path / "run")
    net = load(tmp_path / "run" / "weights.safetensors", "cpu")
    pair = testset.pairs("test")[0]
    with (tmp_path / "run" / "images.csv").open() as file:
        row = next(csv.DictReader(file))
    blurred, sharp = pair.blurred.astype("float32") / 255, pair.sharp / 255
    assert float(row["psnr_db"]) == pytest.approx(psnr_db(restore(blurred, net), sharp), abs=1e-3)
    assert content["result"]["images"] == 8


class Stop(Exception):
    pass


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("stop_at", [1, 3])
def test_a_resumed_run_gives_the_same_bits(tmp_path, monkeypatch, stop_at, bfloat16):
    dropping = replace(CONFIG.net, aff_dropout=0.5)
    config = replace(CONFIG, net=dropping, save_s=0.0, bfloat16=bfloat16)
    train.train(config, tmp_path / "whole")

    get = data.ShakePairs.__getitem__

    def stopping(self, step):
        if step == stop_at:
            raise Stop
        return get(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(data.ShakePairs, "__getitem__", stopping)
        with pytest.raises(Stop):
            train.train(config, tmp_path / "cut")
    train.train(config, tmp_path / "cut", resume=True)

    whole, cut = (load(tmp_path / n / "weights.safetensors", "cpu") for n in ("whole", "cut"))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, cut.state_dict()[name]), name
    for name in ("metrics.csv", "images.csv"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "cut" / name).read_text()


def test_where_nothing_multiplies_in_bfloat16_a_run_rounds_as_if(tmp_path, monkeypatch):
    half, whole = (replace(CONFIG, bfloat16=wanted) for wanted in (True, False))
    monkeypatch.setattr(precision, "multiplies_in_bfloat16", lambda device: False)
    found = [train.train(of, tmp_path / str(of.bfloat16)) for of in (half, whole)]
    assert found[0]["weights_sha256"] != found[1]["weights_sha256"]
    assert [of["hardware"]["bfloat16"] for of in found] == [False, False]


def test_a_repository_that_the_package_only_lies_in_is_not_its_own(tmp_path, monkeypatch):
    record.git_state.cache_clear()
    assert len(record.git_state()["commit"]) == 40
    (tmp_path / "site-packages" / "mimo").mkdir(parents=True)
    (tmp_path / "site-packages" / "mimo" / "__init__.py").touch()
    (tmp_path / ".gitignore").write_text("site-packages\n")
    who = ["-c", "user.name=a", "-c", "user.email=b"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "mine"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr("mimo.__file__", str(tmp_path / "site-packages" / "mimo" / "__init__.py"))
    assert len(record.git_state()["commit"]) == 40  # this process goes on with the code it has read
    record.git_state.cache_clear()
    assert record.git_state()["commit"] == "unknown"
    record.git_state.cache_clear()


def test_a_run_is_never_overwritten(tmp_path, monkeypatch):
    train.train(replace(CONFIG, steps=1), tmp_path / "run")
    with pytest.raises(InputError, match="holds a finished run"):
        train.train(CONFIG, tmp_path / "run", resume=True)
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run" / "state.pt").touch()
    with pytest.raises(InputError, match="add --resume"):
        train.train(CONFIG, tmp_path / "run")
    with pytest.raises(InputError, match="damaged"):
        train.train(CONFIG, tmp_path / "run", resume=True)


@pytest.mark.parametrize("name", ["metrics.csv", "images.csv", "weights.safetensors"])
def test_what_else_lies_in_the_folder_stays(tmp_path, name):
    mine = [tmp_path / name, tmp_path / "state.csv"]
    for path in mine:
        path.write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match=f"holds {name}, which a run would overwrite"):
            train.train(CONFIG, tmp_path, resume=resume)
    assert sorted(tmp_path.iterdir()) == sorted(mine) and mine[0].read_text() == "mine"
    mine[0].unlink()
    train.train(replace(CONFIG, steps=1), tmp_path)
    assert mine[1].read_text() == "mine"
    assert not [tmp_path / n for n in ("state.pt", ".lock") if (tmp_path / n).exists()]


def test_a_folder_takes_one_run_at_a_time(tmp_path):
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(InputError, match="another process trains into this folder"),
    ):
        train.train(CONFIG, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    train.train(replace(CONFIG, steps=1), tmp_path)  # a lock that nobody holds is no hindrance


def test_a_run_that_another_process_has_finished_meanwhile_is_kept(tmp_path, monkeypatch):
    prepare = train.initial_network

    def slowly(*given):
        (tmp_path / "run.json").write_text("finished")
        return prepare(*given)

    monkeypatch.setattr(train, "initial_network", slowly)
    with pytest.raises(InputError, match="holds a finished run"):
        train.train(CONFIG, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_another_runs_state_is_refused(tmp_path, monkeypatch):
    def stop(self, step):
        if step == 2:
            raise Stop
        return get(self, step)

    get = data.ShakePairs.__getitem__
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(data.ShakePairs, "__getitem__", stop)
        train.train(replace(CONFIG, save_s=0.0), tmp_path / "run")
    again = {"out": tmp_path / "run", "resume": True}
    with pytest.raises(InputError, match="another seed$"):
        train.train(replace(CONFIG, save_s=0.0), seed=1, **again)
    with pytest.raises(InputError, match="another configuration$"):
        train.train(replace(CONFIG, save_s=1.0), **again)
    for key in ("data", "device"):
        state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
        state["identity"][key] = "another"
        record.write_state(tmp_path / "run" / "state.pt", state)
    with pytest.raises(InputError, match="another data or device$"):
        train.train(replace(CONFIG, save_s=0.0), **again)


def test_the_precision_is_that_of_the_configuration_whatever_accelerate_is_set_to(
    tmp_path, monkeypatch
):
    one = replace(CONFIG, steps=1)
    as_said = train.train(one, tmp_path / "as it says")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state(reset_partial_state=True)
    again = train.train(one, tmp_path / "in spite of it")
    assert again["weights_sha256"] == as_said["weights_sha256"]


def test_photos_whose_half_is_too_small_for_a_crop_are_used_at_full_size_alone(tmp_path):
    smallest = min(min(data.read_photo(p).shape[:2]) for p in train.photo_paths("train"))
    crop_px = (smallest // 2 - 8) // 4 * 4  # fits the half, but without room for the blur
    train.train(replace(CONFIG, crop_px=crop_px, steps=1, batch_images_global=1), tmp_path / "run")
    assert (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("change", [{"targets": "nearest"}, {"turned": False}])
def test_targets_and_turns_are_as_configured(tmp_path, change):
    losses = []
    for name, config in (("as it is", CONFIG), ("changed", replace(CONFIG, **change))):
        train.train(config, tmp_path / name)
        with (tmp_path / name / "metrics.csv").open() as file:
            row = next(csv.DictReader(file))
        losses.append((row["content"], row["frequency"]))
    assert losses[0] != losses[1]


def test_a_small_network_learns_to_deblur_one_batch():
    """Over the same crops again and again, the error falls by a tenth within 150 steps."""
    photos = [data.read_photo(p) for p in data.photo_paths("train")[:2]]
    strong = BlurConfig(reach_px=(8.0, 8.0))
    pairs = data.ShakePairs(photos, strong, crop_px=32, batch_images=4, steps=1, seed=0)
    blurred, sharp = pairs[0]
    net = train.initial_network(replace(CONFIG, zero_heads=True), seed=0)
    assert torch.equal(net(blurred)[0], blurred)  # zero heads: the identity to begin with
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    targets, losses = train.pyramid(sharp), []
    for _ in range(150):
        restored = net(blurred)
        loss = total_loss(restored, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append((restored[0] - sharp).abs().mean().item())
    assert losses[-1] < 0.9 * losses[0]


def test_the_learning_rate_rises_stays_and_falls():
    config = replace(CONFIG, steps=100, warmup_steps=10, decay=0.5, lr=1.0)
    rates = [train.learning_rate(step, config) for step in range(100)]
    assert rates[0] == 0.1 and rates[9] == 1 and rates[49] == 1
    assert rates[75] == pytest.approx(0.5) and rates[99] < 0.01
    assert all(train.learning_rate(s, CONFIG) == CONFIG.lr for s in range(4))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(InputError, match="lower the learning rate"):
        train.train(replace(CONFIG, lr=math.inf), tmp_path / "run")


def test_processes_that_cannot_share_the_batch_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(train.Accelerator, "num_processes", 3)
    with pytest.raises(InputError, match="can't be shared equally"):
        train.train(CONFIG, tmp_path / "run")


def test_presets_have_a_price_and_an_expectation():
    for name, preset in PRESETS.items():
        assert preset.cost and preset.expect, name
        assert preset.config.steps > 0 or preset.config.epochs > 0
