"""The benchmark times what it says, and counts its work right."""

import json
import time
from dataclasses import replace

import pytest
import torch

from mimo import MIMOUNet, bench
from mimo.__main__ import main
from mimo.config import PAPER, NetConfig
from mimo.data import DATA
from mimo.losses import content_loss, pyramid
from mimo.train import initial_network

SMALL = {"tiny": {"width": 8, "res_blocks": 1}}


def test_a_rows_cost_is_that_of_its_network_on_one_crop():
    parameters, multiply_adds = bench.cost(replace(PAPER, crop_px=256))
    assert parameters == 6_807_171
    assert multiply_adds == pytest.approx(127.4e9 / 2, rel=0.002)
    narrow = replace(PAPER, net=NetConfig(width=16), variant="unet", crop_px=128)
    net = initial_network(narrow, seed=0)
    parameters, multiply_adds = bench.cost(narrow)
    assert parameters == sum(p.numel() for p in net.parameters())
    assert multiply_adds < 127.4e9 / 2 / 16


def test_a_pass_of_the_papers_network_is_127_gflop():
    """63.7 G multiply-adds at 256 x 256, counted by hand in the facts about the network."""
    assert bench.gflop(MIMOUNet(), torch.empty(1, 3, 256, 256)) == pytest.approx(127.4, abs=0.2)


def test_both_ways_train_the_same_network():
    torch.manual_seed(0)
    x, y = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    nets = [MIMOUNet(**SMALL["tiny"]) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    before = {n: p.clone() for n, p in nets[0].named_parameters()}
    for net, ours in zip(nets, (False, True), strict=True):
        bench.step(net, x, y, ours)()
    moved = [p - before[n] for n, p in nets[0].named_parameters()]
    apart = [a - b for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True)]
    assert sum(m.abs().sum() for m in moved) > 0
    assert sum(a.abs().sum() for a in apart) < 0.2 * sum(m.abs().sum() for m in moved)


def test_a_step_without_msfr_follows_the_content_loss_alone():
    torch.manual_seed(0)
    x, y = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    timed, plain = (MIMOUNet(**SMALL["tiny"]) for _ in range(2))
    plain.load_state_dict(timed.state_dict())
    bench.step(timed, x, y, False, frequency_weight=0.0)()
    content_loss(plain(x), pyramid(y)).backward()
    torch.optim.Adam(plain.parameters(), lr=1e-4).step()
    both = zip(timed.parameters(), plain.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in both)


def test_the_faster_way_is_told_by_how_much():
    slow, fast = (lambda: time.sleep(0.06)), (lambda: time.sleep(0.02))
    case = bench._case("sleep", [slow, fast], 1.0, 3, {"torch.bfloat16": 100.0})
    assert case["speedup"] == pytest.approx(3, rel=0.4)
    assert case["gflop_per_s"] == pytest.approx(50, rel=0.4)
    assert case["share_of_ceiling"] == pytest.approx(case["gflop_per_s"] / 100, abs=0.01)


def test_the_command_prints_and_writes_every_case(tmp_path, monkeypatch, capsys):
    few = bench.bench(1, SMALL, (32,), ((64, 32),))
    train, restore = few["cases"]
    once = bench.gflop(MIMOUNet(**SMALL["tiny"]), torch.empty(64, 3, 32, 32))
    assert train["gflop_per_s"] * train["ours_s"] == pytest.approx(3 * once, rel=0.02)
    assert 0 < train["batch_s"] < 10 and "batch_s" not in restore
    once = bench.gflop(MIMOUNet(**SMALL["tiny"]), torch.empty(1, 3, 32, 64))
    assert restore["gflop_per_s"] * restore["ours_s"] == pytest.approx(once, rel=0.1)
    monkeypatch.setattr(bench, "bench", lambda repeats, device: few)
    assert main(["bench", "--json", str(tmp_path / "b.json")]) == 0
    written = json.loads((tmp_path / "b.json").read_text())
    assert [c["what"] for c in written["cases"]] == [
        "train tiny 64 x 32 px",
        "restore tiny 64 x 32",
    ]
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["bench", "--repeats", "0"]) == 2
    assert main(["bench", "--json", str(tmp_path)]) == 2
    assert main(["bench", "--device", "cuda"]) == 2 or torch.cuda.is_available()


@pytest.mark.parametrize(("name", "device"), [("cpu", "cpu"), ("h100", "cuda")])
def test_the_recorded_run_is_one_of_the_command_as_it_stands(name, device):
    recorded = json.loads((DATA / f"runs/bench/{name}.json").read_text())
    assert not recorded["git"]["dirty"]
    wanted = []
    for net in bench.NETS:
        wanted += [f"train {net} {bench.BATCH_PX[device] // c**2} x {c} px" for c in bench.CROPS_PX]
        wanted += [f"restore {net} {width} x {height}" for width, height in bench.FRAMES]
    assert [c["what"] for c in recorded["cases"]] == wanted
    for c in recorded["cases"]:
        assert c["speedup"] == pytest.approx(c["plain_s"] / c["ours_s"], rel=0.2), c["what"]
        assert ("batch_s" in c) == c["what"].startswith("train")
