"""Weights load from files that are what they say, and nothing else does."""

import hashlib
import pickle
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mimo import MIMOUNet, load, network, weights
from mimo.config import PRESETS, InputError, from_record, to_record
from mimo.data import DATA
from mimo.record import read_json
from mimo.weights import copy_weights


def test_our_own_files_come_back_as_they_were(tmp_path):
    net = MIMOUNet(8, 2).eval()
    weights.save(net, tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors", "cpu")
    x = torch.rand(1, 3, 16, 16)
    assert again.config["width"] == 8 and again.config["res_blocks"] == 2 and not again.training
    assert torch.equal(net(x)[0], again(x)[0])
    (tmp_path / "other").touch()  # with the rights that files get here
    assert (tmp_path / "net.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_weights_that_cannot_be_written_leave_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "net.safetensors").write_text("before")
    monkeypatch.setattr(Path, "write_bytes", Mock(side_effect=OSError(28, "No space left")))
    with pytest.raises(InputError, match="net.safetensors: can't be written .*No space left"):
        weights.save(MIMOUNet(8, 1), tmp_path / "net.safetensors")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("net.safetensors", "before")]


def test_shipped_weights_have_a_name_and_stay_small():
    sizes = {"tiny": (8, 1, 1e6), "small": (16, 4, 5e6), "large": (32, 8, 28e6)}
    assert {file.stem for file in weights.TRAINED.glob("*.safetensors")} == set(sizes)
    for name, (width, res_blocks, most_bytes) in sizes.items():
        assert (weights.TRAINED / f"{name}.safetensors").stat().st_size < most_bytes
        net = load(name, "cpu")
        assert net.config == {"width": width, "res_blocks": res_blocks, "aff_dropout": 0.0}
    assert sum(p.numel() for p in net.parameters()) == 6_807_171  # large is MIMO-UNet


@pytest.mark.parametrize("name", ["large", "small", "tiny"])
def test_the_shipped_weights_are_those_of_the_record(name):
    run = read_json(DATA / "runs" / "weights" / f"{name}-seed0" / "run.json")
    digest = hashlib.sha256((weights.TRAINED / f"{name}.safetensors").read_bytes()).hexdigest()
    assert run["weights_sha256"] == digest and not run["git"]["dirty"]
    assert from_record(run["config"]) == to_record(PRESETS[name].config)
    assert f"{run['result']['gain_db']['mean']:+.1f} dB" in PRESETS[name].expect
    assert name == "tiny" or f"{run['wall_s'] / 60:.1f} minutes" in PRESETS[name].cost


def test_a_bare_state_dict_of_the_authors_loads_too(tmp_path):
    ours = MIMOUNet(8, 1).eval()
    theirs = {authors_name(k): v for k, v in ours.state_dict().items()}
    torch.save(theirs, tmp_path / "bare.pkl")
    again = load(tmp_path / "bare.pkl", "cpu")
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in ours.state_dict().items())


def authors_name(ours: str) -> str:
    """The inverse of `weights.our_name`, from the list of all of the authors' names."""
    from test_network import KEYS

    return next(name for name, _ in KEYS["MIMO-UNet"] if weights.our_name(name) == ours)


class Payload:
    """What a hostile checkpoint does when it is unpickled."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return (open, (str(self.victim), "w"))


def test_a_checkpoint_that_carries_code_is_refused_and_not_run(tmp_path):
    victim = tmp_path / "victim"
    torch.save({"model": {"a": Payload(victim)}}, tmp_path / "evil.pkl")
    (tmp_path / "old.pkl").write_bytes(pickle.dumps({"model": Payload(victim)}))
    for name in ("evil.pkl", "old.pkl"):
        with pytest.raises(InputError, match="could run code"):
            load(tmp_path / name)
    assert not victim.exists()


def write_text(path):
    path.write_text("hello")


def write_empty(path):
    path.touch()


def write_list(path):
    torch.save([1, 2], path)


def write_other_network(path):
    torch.save({"model": torch.nn.Linear(3, 3).state_dict()}, path)


def write_missing_tensor(path):
    state = MIMOUNet(8, 1).state_dict()
    state.pop("head.1.bias")
    torch.save(state, path)


def write_other_shape(path):
    state = MIMOUNet(8, 1).state_dict()
    state["head.1.bias"] = torch.zeros(4)
    torch.save(state, path)


def write_cut_short(path):
    torch.save(MIMOUNet(8, 1).state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    "write",
    [
        write_text,
        write_empty,
        write_list,
        write_other_network,
        write_missing_tensor,
        write_other_shape,
        write_cut_short,
    ],
)
def test_other_pickles_are_refused_in_one_line(tmp_path, write):
    write(tmp_path / "file.pkl")
    with pytest.raises(InputError, match="file.pkl") as error:
        load(tmp_path / "file.pkl")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100])
def test_other_safetensors_are_refused(tmp_path, content):
    (tmp_path / "file.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="file.safetensors"):
        load(tmp_path / "file.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "file.safetensors")
    with pytest.raises(InputError, match="not the weights of a MIMO-UNet"):
        load(tmp_path / "file.safetensors")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="there are .*tiny"):
        load("huge")


def test_a_folder_is_no_checkpoint(tmp_path):
    (tmp_path / "folder.pkl").mkdir()
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "folder.pkl")


def test_a_part_written_anew_takes_the_weights_of_the_one_it_stands_for():
    theirs, mine = network.FAM(4), nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))
    assert copy_weights(theirs, mine) is mine
    assert torch.equal(mine[0].weight, theirs.merge.weight)
    assert mine[0].weight is not theirs.merge.weight and mine[0].weight.requires_grad


@pytest.mark.parametrize(
    "mine, says",
    [
        (nn.Conv2d(4, 4, 1), r"parameter 1 has the shape \(4, 4, 1, 1\), where \(4, 4, 3, 3\) was"),
        (nn.Conv2d(4, 4, 3, bias=False), r"parameter 2 has the shape None, where \(4,\) was"),
        (nn.Sequential(nn.Conv2d(4, 4, 3), nn.PReLU()), r"parameter 3 .* \(1,\), where None was"),
    ],
)
def test_a_part_of_another_shape_is_told_which_parameter_differs(mine, says):
    with pytest.raises(ValueError, match=says):
        copy_weights(network.FAM(4), mine)
