"""A run that is killed at any moment goes on to the same bits; two processes equal one."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from test_train import CONFIG as SMALL
from test_train import few_photos  # noqa: F401, used by all tests here

from mimo import data, train
from mimo.config import InputError
from mimo.record import read_rows
from mimo.weights import load

CONFIG = replace(SMALL, steps=24, log_steps=5, save_s=0.0)  # a state after every step


def weights_of(run):
    return load(run / "weights.safetensors", "cpu").state_dict()


def assert_same_run(one, two):
    first, second = weights_of(one), weights_of(two)
    assert all(torch.equal(first[n], second[n]) for n in first)
    for name in ("metrics.csv", "images.csv"):
        assert (one / name).read_text() == (two / name).read_text()


def slowly(save):
    """Saves as torch does, and leaves half a file lying about for a moment before."""

    def save_slowly(state, path):
        path.write_bytes(b"half of a state")
        time.sleep(0.02)
        save(state, path)

    return save_slowly


def train_in_a_child(out):
    torch.set_num_threads(1)  # no thread pool: it would not survive the fork
    torch.save = slowly(torch.save)
    train.train(CONFIG, out, resume=True, progress=False)


def test_a_run_killed_at_random_moments_gives_the_same_bits(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train.train(CONFIG, tmp_path / "whole", progress=False)
    torch.set_num_threads(threads)
    seed = time.time_ns()
    print("seed", seed)  # shown if it fails
    rng = random.Random(seed)
    killed, while_saving, out = 0, 0, tmp_path / "killed"
    for _ in range(30):
        child = get_context("fork").Process(target=train_in_a_child, args=(out,))
        child.start()
        if killed < 6:
            child.join(0.3 + rng.random())
        else:
            child.join()
        if child.exitcode is None:
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            killed += 1
            while_saving += (out / "state.partial").exists()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    print(f"killed {killed} times, {while_saving} of them while saving")
    assert killed > 0
    assert_same_run(tmp_path / "whole", out)
    assert sorted(p.name for p in out.iterdir()) == [
        "images.csv", "metrics.csv", "run.json", "weights.safetensors"]  # fmt: skip


class Stop(Exception):
    pass


def stopped(out, monkeypatch, at=20):
    get = data.ShakePairs.__getitem__

    def stopping(self, step):
        if step == at:
            raise Stop
        return get(self, step)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(data.ShakePairs, "__getitem__", stopping)
        train.train(CONFIG, out, progress=False)


def test_a_damaged_state_is_replaced_by_the_one_before(tmp_path, monkeypatch, capsys):
    train.train(CONFIG, tmp_path / "whole", progress=False)
    stopped(tmp_path / "cut", monkeypatch)
    state = tmp_path / "cut" / "state.pt"
    state.write_bytes(state.read_bytes()[:2000])
    train.train(CONFIG, tmp_path / "cut", resume=True, progress=False)
    assert "damaged; going on from state.previous.pt" in capsys.readouterr().err
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_kill_between_results_and_record_loses_nothing(tmp_path, monkeypatch):
    train.train(CONFIG, tmp_path / "whole", progress=False)

    def dies(path, content):
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(train.record, "write_json", dies)
        train.train(CONFIG, tmp_path / "cut", progress=False)
    assert (tmp_path / "cut" / "images.csv").exists()
    train.train(CONFIG, tmp_path / "cut", resume=True, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_two_damaged_states_are_named(tmp_path, monkeypatch):
    stopped(tmp_path / "cut", monkeypatch)
    for name in ("state.pt", "state.previous.pt"):
        (tmp_path / "cut" / name).write_bytes(b"no state")
    with pytest.raises(InputError, match=r"state.previous.pt: damaged; remove it"):
        train.train(CONFIG, tmp_path / "cut", resume=True)


def test_a_kill_between_two_renames_loses_nothing(tmp_path, monkeypatch):
    train.train(CONFIG, tmp_path / "whole", progress=False)
    stopped(tmp_path / "cut", monkeypatch)
    (tmp_path / "cut" / "state.pt").unlink()
    with pytest.raises(InputError, match="add --resume"):
        train.train(CONFIG, tmp_path / "cut")
    train.train(CONFIG, tmp_path / "cut", resume=True, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_full_disk_is_told_in_one_line_and_the_last_state_stays(tmp_path, monkeypatch):
    stopped(tmp_path / "cut", monkeypatch)
    before = (tmp_path / "cut" / "state.pt").read_bytes()

    def full(state, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match="No space left on device.*free some space.*--resume"):
        train.train(CONFIG, tmp_path / "cut", resume=True, progress=False)
    assert (tmp_path / "cut" / "state.pt").read_bytes() == before
    assert not (tmp_path / "cut" / "state.partial").exists()


SCRIPT = """
import pickle, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from mimo import data, testset, train
few = tuple(p for p, _ in zip(data.shake_test("validation"), range(2)))
train.photo_paths = lambda split: data.photo_paths(split)[:3]
testset.pairs = lambda name: few
config, out, folder = pickle.loads(Path(sys.argv[1]).read_bytes())
train.train(config, out, folder=folder, progress=False)
"""


def train_in_two_processes(config, out, folder=None):
    """As `torchrun` starts them, on this machine's processor."""
    (out.parent / "script.py").write_text(SCRIPT)
    (out.parent / "run.pkl").write_bytes(pickle.dumps((config, out, folder)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, str(out.parent / "script.py"), str(out.parent / "run.pkl")]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def assert_nearly_same_run(one, two):
    """Weights to 1e-5 of their size: sums over the batch are taken in another order."""
    first, second = weights_of(one), weights_of(two)
    apart = max((first[n] - second[n]).abs().max() for n in first)
    assert apart < 1e-5 * max(w.abs().max() for w in first.values())
    rows, others = (read_rows(run / "metrics.csv") for run in (one, two))
    assert [(r["step"], r["lr"]) for r in rows] == [(r["step"], r["lr"]) for r in others]


def test_two_processes_train_the_same_network_as_one(tmp_path):
    config = replace(CONFIG, batch_images_global=4, steps=6)
    train_in_two_processes(config, tmp_path / "two")
    train.train(config, tmp_path / "one", progress=False)
    assert_nearly_same_run(tmp_path / "one", tmp_path / "two")
    losses = [
        [r["content"] for r in read_rows(tmp_path / n / "metrics.csv")] for n in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], abs=2e-6)
