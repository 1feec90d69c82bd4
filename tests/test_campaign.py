"""A campaign runs each pair once, survives being stopped, and its records can be checked."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from test_train import CONFIG as SMALL

from mimo import campaign, compare, data, record, testset
from mimo.__main__ import main
from mimo.config import InputError, from_record, to_record
from mimo.rows import CAMPAIGNS, Row
from mimo.train import train

CONFIG = replace(SMALL, steps=2, log_steps=1)
ROWS = {
    "first": Row(CONFIG, "one", seeds=2),
    "second": Row(replace(CONFIG, variant="unet", frequency_weight=0.0), "two", seeds=1),
}


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    few = tuple(p for p, _ in zip(data.shake_test("validation"), range(4), strict=False))
    monkeypatch.setattr(testset, "pairs", lambda name: few)
    monkeypatch.setattr("mimo.train.photo_paths", lambda split: data.photo_paths(split)[:3])
    monkeypatch.setattr(campaign, "RUNS", tmp_path / "records")
    monkeypatch.setattr(campaign, "UNFINISHED", tmp_path / "unfinished")
    monkeypatch.setitem(campaign.CAMPAIGNS, "components", ROWS)
    return tmp_path


class Here:
    """Runs in this process, where the fixture's changes hold."""

    def __init__(self, *args, **how):
        pass

    def submit(self, function, *args):
        future = campaign.Future()
        try:
            future.set_result(function(*args))
        except InputError as error:
            future.set_exception(error)
        return future

    def shutdown(self, **how):
        pass


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(campaign, "ProcessPoolExecutor", Here)


def test_no_record_is_written_into_an_installed_package(here, monkeypatch):
    inside = Path(campaign.__file__).parent / "_book" / "data" / "runs"
    monkeypatch.setattr(campaign, "RUNS", inside)
    with pytest.raises(InputError, match="run tables in the repository"):
        campaign.run("components")
    assert not inside.exists()


def test_pairs_come_seed_by_seed_and_each_runs_once(here, small, monkeypatch):
    assert campaign.pairs_to_run("components") == [("first", 0), ("second", 0), ("first", 1)]
    assert campaign.run("components") == 0
    found = sorted(p.name for p in (small / "records/components").iterdir())
    assert found == ["first-seed0", "first-seed1", "second-seed0"]
    files = sorted(p.name for p in (small / "records/components/first-seed0").iterdir())
    assert files == ["images.csv", "metrics.csv", "run.json"]
    assert [r["row"] for r in campaign.records("components")] == ["first", "first", "second"]
    monkeypatch.setattr(campaign, "run_pair", lambda *pair: pytest.fail("ran again"))
    assert campaign.run("components") == 0


def test_rows_of_one_seed_see_the_same_data(here, small, monkeypatch):
    get, seen = data.ShakePairs.__getitem__, []

    def watched(self, step):
        seen.append(get(self, step))
        return seen[-1]

    monkeypatch.setattr(data.ShakePairs, "__getitem__", watched)
    campaign.run("components")
    of_first, of_second, of_another_seed = seen[:2], seen[2:4], seen[4:]
    for one, other in zip(of_first, of_second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for one, other in zip(of_first, of_another_seed, strict=True):
        assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    first, second = (
        json.loads((small / f"records/components/{row}-seed0/run.json").read_text())
        for row in ("first", "second")
    )
    assert first["data"] == second["data"] and first["seed"] == second["seed"]
    assert first["config"]["variant"] == "full" and second["config"]["variant"] == "unet"


def test_a_row_that_fails_does_not_hold_up_the_others(here, small, monkeypatch, capsys):
    wrong = Row(replace(CONFIG, lr=math.inf), "diverges", seeds=2)
    monkeypatch.setitem(CAMPAIGNS, "components", {"wrong": wrong, **ROWS})
    assert main(["ablate", "components"]) == 2
    assert campaign.pairs_to_run("components") == [("wrong", 0), ("wrong", 1)]
    last = capsys.readouterr().err.splitlines()[-1]
    assert "mimo: runs that failed: 2; the first: components wrong seed 0: the loss is" in last


def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_that_is_killed_is_told_in_one_line(small, monkeypatch):
    monkeypatch.setattr(campaign, "run_pair", killed)
    with pytest.raises(InputError, match="^components: a run was killed; start again, and it"):
        campaign.run("components")


def test_nothing_is_begun_that_would_not_be_finished(here, small):
    assert campaign.run("components", max_minutes=1e-9) == 3  # on a time that is over at once
    campaign.run_pair("components", ("first", 0))
    path = small / "records/components/first-seed0/run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"wall_s": 3600.0}))
    assert campaign.run("components", max_minutes=30.0) == 2


def test_a_stopped_run_goes_on_from_its_state(small, monkeypatch):
    slow = replace(CONFIG, steps=6, save_s=0.0)
    monkeypatch.setitem(campaign.CAMPAIGNS, "components", {"first": Row(slow, "one", seeds=1)})
    get, seen = data.ShakePairs.__getitem__, []

    def stopping(self, step):
        seen.append(step)
        if seen == [0, 1, 2, 3]:
            raise KeyboardInterrupt
        return get(self, step)

    monkeypatch.setattr(data.ShakePairs, "__getitem__", stopping)
    with pytest.raises(KeyboardInterrupt):
        campaign.run_pair("components", ("first", 0))
    assert campaign.pairs_to_run("components") == [("first", 0)]
    campaign.run_pair("components", ("first", 0))
    assert seen == [0, 1, 2, 3, 3, 4, 5]
    assert campaign.pairs_to_run("components") == []


def test_a_run_killed_after_its_last_step_is_put_in_its_place(small, monkeypatch):
    """Wherever between the end of the training and the end of the pair."""
    write, folder = record.write_json, small / "records/components/first-seed0"
    unfinished = small / "unfinished/components/first-seed0"

    def dies(path, content):
        if path.parent == folder:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(record, "write_json", dies)
    with pytest.raises(KeyboardInterrupt):
        campaign.run_pair("components", ("first", 0))
    assert (unfinished / "run.json").exists() and not (folder / "run.json").exists()
    assert campaign.records("components") == [] and compare.means("components/first") == {}
    assert campaign.pairs_to_run("components")[0] == ("first", 0)
    (unfinished / "state.pt").write_bytes(b"left by a kill between the record and the state")
    monkeypatch.setattr(record, "write_json", write)
    monkeypatch.setattr(data.ShakePairs, "__getitem__", lambda *_: pytest.fail("trained again"))
    campaign.run_pair("components", ("first", 0))
    assert sorted(p.name for p in folder.iterdir()) == ["images.csv", "metrics.csv", "run.json"]
    assert not unfinished.exists() and len(compare.means("components/first")) == 1


def test_a_finished_run_of_another_configuration_is_not_taken_for_the_rows(small):
    other = replace(CONFIG, lr=0.5)
    train(other, small / "unfinished/components/first-seed0", progress=False)
    with pytest.raises(InputError, match="holds a finished run"):
        campaign.run_pair("components", ("first", 0))
    assert not (small / "records").exists()


def test_a_pair_that_another_process_runs_is_left_alone(small):
    (small / "unfinished/components").mkdir(parents=True)
    with (
        FileLock(small / "unfinished/components/first-seed0.lock"),
        pytest.raises(InputError, match="^components first seed 0: is already being run$"),
    ):
        campaign.run_pair("components", ("first", 0))
    campaign.run_pair("components", ("first", 0))


def test_a_pair_that_has_a_record_by_now_is_not_run_again(small, monkeypatch):
    campaign.run_pair("components", ("first", 0))
    monkeypatch.setattr(campaign, "train", None)
    assert campaign.run_pair("components", ("first", 0)) == 0


def test_a_record_can_be_checked_and_a_changed_one_is_found_out(here, small, monkeypatch):
    with pytest.raises(InputError, match="no finished run to check"):
        campaign.check("components")
    campaign.run_pair("components", ("first", 0))
    assert campaign.check("components").endswith("the same to the last bit")
    folder = small / "records/components/first-seed0"
    path = folder / "run.json"
    content = json.loads(path.read_text())
    for later in ("targets", "turned"):  # settings that older records lack
        del content["config"][later]
    path.write_text(json.dumps(content))
    assert campaign.check("components").endswith("the same to the last bit")
    psnr_db = content["budgets"]["2"]["psnr_db"]["mean"]
    changes = {
        "run.json": (str(psnr_db), str(psnr_db + 0.001)),
        "images.csv": ("shake", "shook"),
        "metrics.csv": ("0.", "1."),
    }
    for name, change in changes.items():
        before = (folder / name).read_text()
        (folder / name).write_text(before.replace(*change))
        assert (folder / name).read_text() != before
        with pytest.raises(InputError, match="not what was recorded"):
            campaign.check("components")
        (folder / name).write_text(before)
    content["weights_sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="not what was recorded"):
        campaign.check("components")
    # On a GPU not to the last bit, since its sums are not always in one order.
    content["hardware"]["gpu"] = "a GPU"
    path.write_text(json.dumps(content))
    monkeypatch.setattr("mimo.record.hardware", lambda: content["hardware"])
    assert campaign.check("components").endswith("0.0000 dB apart")
    # There a mean could be that of another seed: the losses cannot.
    train(CONFIG, small / "other", seed=1, progress=False)
    losses = (folder / "metrics.csv").read_text()
    (folder / "metrics.csv").write_text((small / "other/metrics.csv").read_text())
    with pytest.raises(InputError, match="its losses differ, and it ends 0.0000 dB apart"):
        campaign.check("components")
    (folder / "metrics.csv").write_text(losses)
    lines = record.read_rows(folder / "metrics.csv")
    for factor, alike in ((1.04, True), (1.06, False)):
        of_both = [line | {"content": line["content"] * factor} for line in lines]
        record.write_rows(folder / "metrics.csv", of_both)
        with nullcontext() if alike else pytest.raises(InputError, match="its losses differ"):
            assert campaign.check("components").endswith("0.0000 dB apart")
    (folder / "metrics.csv").write_text(losses)
    content["result"]["psnr_db"]["mean"] += 0.2
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="0.2000 dB apart"):
        campaign.check("components")
    content["config"]["lr"] = 0.5
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no longer the row's"):
        campaign.check("components")


TWO_ROWS = """
from pathlib import Path

from mimo import campaign, data, testset, train
from test_campaign import CONFIG, replace, Row

few = tuple(p for p, _ in zip(data.shake_test("validation"), range(4)))
testset.pairs = lambda name: few
train.photo_paths = lambda split: data.photo_paths(split)[:3]
campaign.RUNS, campaign.UNFINISHED = Path("records"), Path("unfinished")
long = replace(CONFIG, steps=40, save_s=0.0)
campaign.CAMPAIGNS["components"] = {
    "first": Row(long, "one", seeds=1),
    "second": Row(replace(long, variant="unet", frequency_weight=0.0), "two", seeds=1),
}
if __name__ == "__main__":
    assert campaign.run("components", workers=2) == 0
"""


def test_two_runs_side_by_side_may_be_killed_and_end_as_if_they_had_not_been(small):
    """Spawned processes import the script, and with it its two small rows."""
    (small / "two_rows.py").write_text(TWO_ROWS)
    paths = f"{Path(__file__).parent}:{Path(campaign.__file__).parents[1]}"

    def started():
        return subprocess.Popen(
            [sys.executable, "two_rows.py"],
            cwd=small,
            env=os.environ | {"PYTHONPATH": paths},
            start_new_session=True,
        )

    killed = started()
    states = [small / f"unfinished/components/{row}-seed0/state.pt" for row in ("first", "second")]
    deadline = time.monotonic() + 300
    while not all(s.exists() for s in states) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL and all(s.exists() for s in states)
    assert started().wait(300) == 0
    for row in ("first", "second"):
        config = CONFIG if row == "first" else replace(CONFIG, variant="unet", frequency_weight=0.0)
        once = train(replace(config, steps=40, save_s=0.0), small / row, progress=False)
        found = json.loads((small / f"records/components/{row}-seed0/run.json").read_text())
        assert (
            found["weights_sha256"] == once["weights_sha256"] and found["hardware"]["threads"] == 1
        )


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_every_row_is_a_configuration_of_its_own(name):
    configs = [row.config for row in CAMPAIGNS[name].values()]
    assert len(set(configs)) == len(configs)
    assert all(row.seeds >= 1 and row.what for row in CAMPAIGNS[name].values())


AHEAD = {name for name in CAMPAIGNS if "-paper" in name}


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_records_are_those_of_the_rows_as_they_stand(name, monkeypatch):
    monkeypatch.undo()
    records = campaign.records(name)
    assert records or name in AHEAD
    for found in records:
        row = CAMPAIGNS[name][found["row"]]
        assert from_record(found["config"]) == to_record(row.config), found["row"]
        assert found["seed"] < row.seeds and not found["git"]["dirty"]
        assert set(found["budgets"]) == {
            str(s) for s in (*row.config.budgets_steps, row.config.steps)
        }


@pytest.mark.parametrize(
    "longer, shorter",
    [("long", "components"), ("clean-long", "clean"), ("clean-long-parts", "clean-parts")],
)
def test_a_longer_run_is_the_short_one_as_far_as_that_goes(longer, shorter, monkeypatch):
    monkeypatch.undo()
    of_short = {(r["row"], r["seed"]): r for r in campaign.records(shorter)}
    pairs = [(r, of_short[r["row"], r["seed"]]) for r in campaign.records(longer)]
    # On another processor sums differ in the last bits.
    alike = [(a, b) for a, b in pairs if a["hardware"]["cpu"] == b["hardware"]["cpu"]]
    assert len(alike) >= 2
    for found, short in alike:
        name = f"{found['row']}-seed{found['seed']}"
        long_run, short_run = (
            [
                (r["name"], r["psnr_db"])
                for r in record.read_rows(campaign.RUNS / family / name / "images.csv")
                if r["step"] == short["config"]["steps"]
            ]
            for family in (longer, shorter)
        )
        assert len(long_run) >= 60 and long_run == short_run, name
