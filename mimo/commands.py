"""The commands of the command line: what each takes, and what it does."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from mimo.config import PRESETS, InputError
from mimo.options import as_typed, at_least, check_target
from mimo.rows import CAMPAIGNS


@dataclass
class Restore:
    """Deblur a photo, or every photo of a folder."""

    input: Positional[Path]
    """A photo or a folder."""
    output: Annotated[Path, arg(aliases=["-o"])]
    """A file name whose ending chooses the format, or a folder."""
    model: str = "tiny"
    """Shipped weights (tiny, small, large), a .safetensors file, or the authors' .pkl."""
    ensemble: Literal[1, 4] = 1
    """4: the mean over four rotations, as in MIMO-UNet++."""
    tile_px: int | None = None
    """Restore squares of this side, to save memory; the result is the same."""
    bfloat16: bool = False
    """Multiply in half precision: nearly the same result, faster where processors support it."""
    all_scales: bool = False
    """Write the half and quarter size outputs too, as NAME-half and NAME-quarter."""

    def run(self) -> int:
        """Restore; problems with single files are reported at the end."""
        from mimo.restore import restore_files
        from mimo.weights import load

        if not self.input.exists():
            raise InputError(f"{self.input}: no such file or folder")
        at_least(4, tile_px=self.tile_px)
        problems = restore_files(
            self.input,
            self.output,
            load(self.model),
            all_scales=self.all_scales,
            tile_px=self.tile_px,
            ensemble=self.ensemble,
            bfloat16=self.bfloat16,
        )
        for problem in problems:
            print(f"mimo: {problem}", file=sys.stderr)
        return 2 if problems else 0


@dataclass
class Train:
    """Train a preset; mimo/config.py says what each does, costs and should give."""

    preset: Positional[Literal[tuple(PRESETS)]]  # type: ignore[valid-type]
    """What to train."""
    seed: int = 0
    """Seed of the initial values and the data."""
    data: Path | None = None
    """GoPro or RealBlur, or a packed copy, for the presets that train on them."""
    out: Path | None = None
    """Folder for record, weights and state; runs/PRESET-seedN by default."""
    frames: Literal["blur", "blur_gamma", "RealBlur-J", "RealBlur-R"] | None = None
    """Which blurred photos of the data to train on; blur by default."""
    resume: bool = False
    """Go on from the last saved state in the folder."""
    steps: int | None = None
    """Number of optimiser steps, in place of the preset's."""
    threads: int | None = None
    """Processor threads to use."""

    def run(self) -> int:
        """Train and print the result."""
        from dataclasses import replace

        import torch

        from mimo import train
        from mimo.evaluate import report

        preset = PRESETS[self.preset]
        given = {k: v for k in ("steps", "frames") if (v := getattr(self, k)) is not None}
        config = replace(preset.config, **given)
        at_least(1, steps=self.steps, threads=self.threads)
        if self.steps is not None and config.epochs:
            raise InputError(f"{self.preset} counts in epochs, and takes no --steps")
        if self.frames is not None and not config.epochs:
            raise InputError(f"{self.preset} trains on the photos of this book: no --frames")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed is from 0 to 2**32 - 1, not {self.seed}")
        if self.threads:
            torch.set_num_threads(self.threads)
        print(f"{self.preset}: {preset.cost}; expect {preset.expect}", file=sys.stderr)
        out = self.out or Path("runs") / f"{self.preset}-seed{self.seed}"
        content = train.train(
            config, out, folder=self.data, seed=self.seed, resume=self.resume, command=as_typed()
        )
        if content:
            print(out)
            print(*report(content["result"]), sep="\n")
        return 0


@dataclass
class Evaluate:
    """Restore a test set and print the gain over the blurred photos with its interval."""

    model: Positional[str]
    """Shipped weights (tiny, small, large), a .safetensors file, the authors' .pkl, or a classical
    method (wiener, richardson-lucy, unsharp)."""
    data: Positional[
        Literal["test", "shake", "rotation", "panorama", "frames", "clean", "validation", "train"]
        | Path
    ] = "test"
    """The test set, one of its kinds, weak shake without noise (clean), camera shake on validation
    or training photos, or a folder with GoPro, packed or not."""
    frames: Literal["blur", "blur_gamma"] = "blur"
    """Which of GoPro's blurred photos to use."""
    ensemble: Literal[1, 4] = 1
    """4: the mean over four rotations, as in MIMO-UNet++."""
    protocol: Literal["authors", "bytes"] = "authors"
    """What is compared: the float output, or the output rounded to 8 bits."""
    json: Path | None = None
    """Write the summary and the row of each image here."""

    def run(self) -> int:
        """Evaluate and print."""
        from tqdm import tqdm

        from mimo import evaluate, packing, testset
        from mimo.baselines import BASELINES
        from mimo.data import Pair
        from mimo.weights import load

        check_target(self.json)
        pairs: Iterable[Pair]
        if isinstance(self.data, Path):
            if not self.data.is_dir():
                raise InputError(f"{self.data}: neither a test set (see --help) nor a folder")
            if self.model in ("wiener", "richardson-lucy"):
                raise InputError(f"{self.model} needs the kernel, which is unknown for GoPro")
            source = packing.source(self.data, "test", self.frames)
            pairs = packing.FrameTest(self.data, self.frames)
        else:
            source, pairs = testset.source(self.data), testset.pairs(self.data)
        if self.model in BASELINES:
            if self.ensemble != 1:
                raise InputError(f"--ensemble is for networks, not for {self.model}")
            restored = BASELINES[self.model]
        else:
            restored = evaluate.by_network(load(self.model), ensemble=self.ensemble)
        rows = evaluate.evaluate(restored, tqdm(pairs), protocol=self.protocol)
        result = evaluate.summary(rows)
        print(*evaluate.report(result), sep="\n")
        if self.json is not None:
            evaluate.write(self.json, rows, as_typed(), self.protocol, source)
        return 0


@dataclass
class Ablate:
    """Train the rows of a table that have no record yet, as far as time allows."""

    campaign: Positional[Literal[tuple(CAMPAIGNS)]]  # type: ignore[valid-type]
    """Which table; mimo/rows.py lists the rows."""
    workers: int = 1
    """Runs side by side, each on one thread."""
    max_minutes: float | None = None
    """Begin no run that would not be finished in this time."""
    data: Path | None = None
    """GoPro, or a packed copy, for the tables at the paper's scale."""
    check: bool = False
    """Run one finished pair of row and seed again, and compare it with its record."""

    def run(self) -> int:
        """Run; unfinished runs are resumed another time."""
        from mimo import campaign

        at_least(1, workers=self.workers)
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise InputError(f"--max-minutes is more than 0, not {self.max_minutes}")
        if self.check:
            print(campaign.check(self.campaign, data=self.data))
            return 0
        left = campaign.run(
            self.campaign, workers=self.workers, max_minutes=self.max_minutes, data=self.data
        )
        print(f"{self.campaign}: {left} runs left")
        return 0


@dataclass
class Convert:
    """Turn a checkpoint of the authors' into a .safetensors file, which cannot hold a program."""

    official: Positional[Path]
    """MIMO-UNet.pkl or MIMO-UNetPlus.pkl."""
    out: Positional[Path]
    """The file to write."""

    def run(self) -> int:
        """Read the checkpoint, and write the file unless there is one already."""
        from mimo import weights

        check_target(self.out)
        if self.out.suffix != ".safetensors" or self.out.exists():
            raise InputError(f"{self.out}: not a new file whose name ends in .safetensors")
        weights.save(weights.load(self.official, "cpu"), self.out)
        return 0


@dataclass
class Fetch:
    """Download GoPro or RealBlur to a new folder; a folder that holds data is only checked."""

    dataset: Positional[Literal["gopro", "realblur"]]
    """What to download."""
    folder: Positional[Path]
    """The folder to download to, or to check."""
    yes: bool = False
    """Start the download without asking."""
    url: str | None = None
    """Another address for the archive."""
    archive: Path | None = None
    """The archive, if it has been downloaded already."""
    sha256: str | None = None
    """The checksum that the archive should have, in place of the published one."""
    check: bool = False
    """Download nothing."""
    decode: bool = False
    """Check every picture to its end, not only its header."""
    pack: Path | None = None
    """Also pack the pairs for training here, as folders train and test."""
    blur: Literal["blur", "blur_gamma", "RealBlur-J", "RealBlur-R"] | None = None
    """What to pack; blur and RealBlur-J by default."""

    def run(self) -> int:
        """Download if there is nothing yet, check, and pack."""
        from mimo import datasets, fetch, packing

        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: not a folder")
        if not self.folder.exists() or not any(self.folder.iterdir()):
            if self.check:
                raise InputError(f"{self.folder}: nothing here to check")
            how = {k: getattr(self, k) for k in ("url", "archive", "sha256", "yes")}
            fetch.fetch(self.dataset, self.folder, **how)
        problems, summary = datasets.check(self.folder, dataset=self.dataset, decode=self.decode)
        for problem in problems[:20]:
            print(f"mimo: {problem}", file=sys.stderr)
        if len(problems) > 20:
            print(f"mimo: and {len(problems) - 20:,} more", file=sys.stderr)
        print(summary)
        if problems:
            return 2
        if self.pack:
            blur = self.blur or ("blur" if self.dataset == "gopro" else "RealBlur-J")
            for split in ("train", "test"):
                packing.pack(self.folder, split, self.pack / split, blur)
        return 0


@dataclass
class Bench:
    """Time a training step and a restoration, done plainly and done our way."""

    repeats: int = 5
    """Runs of each; the median counts."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What to time: the processor, or a GPU."""
    json: Path | None = None
    """Write the times here."""

    def run(self) -> int:
        """Time and print."""
        import torch

        from mimo import bench, record

        at_least(1, repeats=self.repeats)
        check_target(self.json)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError("--device cuda: PyTorch finds no GPU here")
        result = bench.bench(self.repeats, device=self.device)
        print(*bench.report(result), sep="\n")
        if self.json is not None:
            record.write_json(self.json, {"command": as_typed(), **result})
        return 0


Command = Restore | Train | Evaluate | Ablate | Convert | Fetch | Bench
