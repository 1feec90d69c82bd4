"""The command line as a newcomer types it: a mistake gets one line and exit status 2."""

import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from mimo import record
from mimo.__main__ import main
from mimo.config import InputError
from mimo.data import DATA
from mimo.options import as_typed
from mimo.weights import load


@pytest.fixture
def folder(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    PILImage.fromarray(photo).save(tmp_path / "photo.png")
    PILImage.fromarray(photo).save(tmp_path / "photo.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes()[:900])
    (tmp_path / "text.png").write_text("not a photo")
    PILImage.new("F", (5, 4)).save(tmp_path / "float.tif")
    PILImage.new("I", (5, 4), 70_000).save(tmp_path / "long.tif")
    page = PILImage.new("L", (5, 4))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    (tmp_path / "empty").mkdir()
    (tmp_path / "sub").mkdir()
    for name in ("photo-half.png", "sub/a.png", "sub/a-half.png"):
        PILImage.fromarray(photo).save(tmp_path / name)
    torch.save([1, 2, 3], tmp_path / "list.pkl")
    (tmp_path / "code.pkl").write_bytes(pickle.dumps({"model": print}))
    rgba = PILImage.fromarray(photo)
    rgba.putalpha(128)
    rgba.save(tmp_path / "alpha.png")
    return tmp_path


def test_restore_writes_a_photo_of_the_same_size(folder, capsys):
    assert main(["restore", f"{folder}/photo.png", "-o", f"{folder}/out.jpg"]) == 0
    with PILImage.open(folder / "out.jpg") as out:
        assert (out.format, out.size) == ("JPEG", (50, 40))


MISTAKES = [
    ("restore {f}/none.png -o {f}/out.png", "none.png: no such file or folder"),
    ("restore {f}/empty -o {f}/out", "empty: no images here"),
    ("restore {f}/text.png -o {f}/out.png", "text.png: not an image"),
    ("restore {f}/cut.jpg -o {f}/out.png", "cut.jpg: damaged or cut short"),
    ("restore {f}/float.tif -o {f}/out.png", "float.tif: holds floating point values"),
    ("restore {f}/long.tif -o {f}/out.png", "long.tif: holds values above 65,535"),
    ("restore {f}/pages.tif -o {f}/out.png", "mimo: {f}/pages.tif: holds several pictures"),
    ("restore {f}/photo.png -o {f}/out.xyz", "unknown kind of image"),
    ("restore {f}/photo.png -o {f}/none/out.png", "none: no such folder"),
    ("restore {f}/photo.png -o {f}/photo.png", "would overwrite"),
    ("restore {f}/photo.png -o {f}", "would overwrite"),
    ("restore {f}/alpha.png -o {f}/out.jpg", "JPEG holds no transparency"),
    ("restore {f}/photo.png -o {f}/out.png --model nothing", "no weights named"),
    ("restore {f}/photo.png -o {f}/out.png --model {f}/list.pkl", "list.pkl: holds no state_dict"),
    ("restore {f}/photo.png -o {f}/out.png --model {f}/code.pkl", "could run code"),
    ("restore {f}/photo.png -o {f}/out.png --model {f}/photo.jpg", "photo.jpg: not a checkpoint"),
    ("restore {f}/photo.png -o {f}/out.png --tile-px 2", "at least 4"),
    ("restore {f}/photo.png -o {f}/out.png --ensemble 3", "invalid choice"),
    ("restore {f}/photo.png", "Missing"),
    ("train huge", "invalid choice"),
    ("train tiny --steps 0", "at least 1"),
    ("train tiny --out {f}/photo.png --steps 1", "photo.png"),
    ("evaluate tiny shake --json {f}/none/a.json", "none/a.json: not a file in a folder"),
    ("evaluate tiny shake --json {f}/empty", "empty: not a file in a folder"),
    ("evaluate nothing", "no weights named"),
    ("train tiny --seed -1", "--seed is from 0"),
    ("train tiny --threads 0", "--threads is at least 1"),
    ("restore {f}/sub -o {f}/photo.png", "photo.png: can't be created as a folder"),
    ("restore {f}/sub -o {f}/photo.png/x", "x: can't be created as a folder"),
    ("restore {f}/photo-half.png -o {f}/photo.png --all-scales", "would overwrite"),
    ("restore {f}/sub -o {f}/new --all-scales", "two outputs would have the same name"),
    ("evaluate unsharp --ensemble 4", "--ensemble is for networks"),
    ("evaluate tiny nothing", "nothing: neither a test set"),
    ("evaluate wiener {f}/sub", "wiener needs the kernel"),
    ("evaluate tiny {f}/sub", "a.png; expected GoPro's"),
    ("train paper --data {f}/sub --out {f}/new", "a.png; expected GoPro's"),
    ("train tiny --frames blur_gamma", "no --frames"),
    ("convert tiny {f}/photo.png", "photo.png: not a new file"),
    ("convert {f}/photo.png {f}/none/a.safetensors", "not a file in a folder"),
    ("convert {f}/photo.png {f}/a.safetensors", "photo.png: not a checkpoint"),
    ("restore {f}/%s.png -o {f}/x.png" % ("n" * 300), "File name too long"),
    ("restore {f}/photo.png -o {f}/%s.png" % ("n" * 252), "File name too long"),
    ("evaluate tiny --protocol matlab", "invalid choice"),
    ("ablate nothing", "invalid choice"),
    ("ablate recipe --workers 0", "--workers is at least 1"),
    ("ablate recipe --max-minutes 0", "--max-minutes is more than 0"),
    ("", "Expected one of"),
]


@pytest.mark.parametrize("words,message", MISTAKES, ids=[m for _, m in MISTAKES])
def test_a_mistake_gets_one_line_and_status_2(folder, capsys, words, message):
    before = {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")}
    assert main(words.format(f=folder).split()) == 2
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.startswith(("tiny:", "paper:"))]
    assert said.out == "" and len(lines) == 1 and message.format(f=folder) in lines[0]
    assert before == {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def test_a_checkpoint_is_converted(folder, capsys):
    checkpoint = torch.nn.Module.state_dict(load("tiny", "cpu"))
    torch.save({"model": checkpoint}, folder / "ours.pkl")
    words = ["convert", f"{folder}/ours.pkl", f"{folder}/tiny.safetensors"]
    assert main(words) == 0 and capsys.readouterr().err == ""
    assert main(["restore", f"{folder}/photo.png", "-o", f"{folder}/a.png"]) == 0
    model = ["--model", f"{folder}/tiny.safetensors"]
    assert main(["restore", f"{folder}/photo.png", "-o", f"{folder}/b.png", *model]) == 0
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    assert main(words) == 2 and "not a new file" in capsys.readouterr().err


def test_a_name_may_be_as_long_as_the_disk_allows(folder):
    long = folder / f"{'n' * 251}.png"
    assert main(["restore", f"{folder}/photo.png", "-o", f"{long}"]) == 0 and long.is_file()


def test_what_can_not_be_written_is_told_and_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/a.json: can't be written \(.*Not a directory"):
        record.write_json(tmp_path / "file" / "a.json", {})
    (tmp_path / "a.json").mkdir()
    with pytest.raises(InputError, match="a.json: can't be written"):
        record.write_json(tmp_path / "a.json", {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "file"]


def test_json_has_null_for_what_is_not_finite(tmp_path):
    content = {"a": [1.0, math.nan, {"b": -math.inf}], "c": (0.1, 1e-12, -0.0, 10**20, "Infinity")}
    record.write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [1.0, None, {"b": None}],
        "c": [0.1, 1e-12, -0.0, 10**20, "Infinity"],
    }


def test_records_are_written_again_to_the_same_bytes(tmp_path):
    runs = sorted((DATA / "runs").glob("components/*/run.json"))
    for path in [*runs, *sorted((DATA / "runs" / "baselines").glob("*.json"))]:
        record.write_json(tmp_path / "again.json", record.read_json(path))
        assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_a_command_with_spaces_is_recorded_as_it_can_be_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mimo", "train", "tiny", "--out", "my runs"])
    assert as_typed() == "python -m mimo train tiny --out 'my runs'"
    monkeypatch.setenv("WORLD_SIZE", "2")
    launched = "accelerate launch --num_processes 2 -m mimo train tiny --out 'my runs'"
    assert as_typed() == launched


TOO_LARGE = [
    torch.OutOfMemoryError(),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
]


@pytest.mark.parametrize("error", TOO_LARGE, ids=lambda error: type(error).__name__)
def test_a_photo_too_large_for_memory_does_not_stop_the_others(folder, capsys, monkeypatch, error):
    def run_out(image, *_, **__):
        if image.mode == "RGBA":
            raise error
        return [image]

    monkeypatch.setattr(sys.modules["mimo.restore"], "restore_image", run_out)
    (folder / "alpha.png").rename(folder / "sub" / "0.png")
    assert main(["restore", f"{folder}/sub", "-o", f"{folder}/out"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mimo: ")]
    assert len(said) == 1 and "0.png: takes more memory than there is; give a smaller" in said[0]
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a-half.png", "a.png"]
    error = RuntimeError("another")
    with pytest.raises(RuntimeError, match="another"):
        main(["restore", f"{folder}/sub", "-o", f"{folder}/out"])


def test_help_names_the_commands_and_succeeds(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert all(command in said for command in ("restore", "train", "evaluate", "ablate"))


def test_the_module_runs_and_its_exit_status_reaches_the_shell(folder):
    words = [sys.executable, "-m", "mimo", "restore", "none.png", "-o", "out.png"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "mimo: none.png: no such file or folder\n"


def test_evaluate_writes_what_it_prints(folder, capsys, monkeypatch):
    from mimo import data, testset

    few = tuple(data.shake_test("validation"))[:8]
    monkeypatch.setattr(testset, "pairs", lambda name: few)
    assert main(["evaluate", "tiny", "--json", f"{folder}/result.json"]) == 0
    content = json.loads((folder / "result.json").read_text())
    assert len(content["images"]) == content["result"]["images"] == 8
    assert f"{content['result']['psnr_db']['mean']:.2f} dB" in capsys.readouterr().out
    assert content["protocol"].startswith("authors: PSNR over RGB of the float output clamped")
    words = ["evaluate", "tiny", "train", "--protocol", "bytes", "--json", f"{folder}/bytes.json"]
    assert main(words) == 0
    rounded = json.loads((folder / "bytes.json").read_text())
    assert rounded["protocol"].startswith("bytes: PSNR over RGB of the output rounded to 8 bits")
    assert main(["evaluate", "tiny", "clean", "--json", f"{folder}/clean.json"]) == 0
    clean = json.loads((folder / "clean.json").read_text())
    # It says on which pairs, and has the hash of their photos.
    for found, name, split in (
        (content, "test", "test"),
        (rounded, "train", "train"),
        (clean, "clean", "test"),
    ):
        on = {"test": name, "test_sha256": data.listing_hash(data.photo_paths(split))}
        assert found["data"] == on
    losses = [
        a["psnr_db"] - b["psnr_db"]
        for a, b in zip(content["images"], rounded["images"], strict=True)
    ]
    assert 0 < np.mean(losses) < 0.05
    capsys.readouterr()
    assert main(["evaluate", "unsharp", "shake"]) == 0
    assert capsys.readouterr().out.startswith("shake: ")
