"""The command line: `python -m mimo COMMAND --help` says what each command takes."""

import contextlib
import io
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from mimo.config import PRESETS, InputError, TrainConfig
from mimo.rows import CAMPAIGNS


@dataclass
class Restore:
    """Deblur a photo, or every photo of a folder."""

    input: Positional[Path]
    """A photo or a folder."""
    output: Annotated[Path, arg(aliases=["-o"])]
    """A file name whose ending chooses the format, or a folder."""
    model: str = "tiny"
    """Shipped weights (tiny), a .safetensors file, or the authors' .pkl."""
    ensemble: Literal[1, 4] = 1
    """4: the mean over four rotations, as in MIMO-UNet++."""
    tile_px: int | None = None
    """Restore squares of this side, to spare memory; the result is the same."""
    all_scales: bool = False
    """Write the half and quarter size outputs too, as NAME-half and NAME-quarter."""

    def run(self) -> int:
        """Restore; problems with single files are told at the end."""
        from mimo.restore import restore_files
        from mimo.weights import load

        if not self.input.exists():
            raise InputError(f"{self.input}: no such file or folder")
        if self.tile_px is not None and self.tile_px < 4:
            raise InputError(f"--tile-px is at least 4, not {self.tile_px}")
        problems = restore_files(
            self.input,
            self.output,
            load(self.model),
            all_scales=self.all_scales,
            tile_px=self.tile_px,
            ensemble=self.ensemble,
        )
        for problem in problems:
            print(f"mimo: {problem}", file=sys.stderr)
        return 2 if problems else 0


@dataclass
class Train:
    """Train a preset: what each does, costs and should give stands in mimo/config.py."""

    preset: Positional[Literal[tuple(PRESETS)]]  # type: ignore[valid-type]
    """What to train."""
    seed: int = 0
    """Of initial values and data."""
    out: Path | None = None
    """Folder for record, weights and state; runs/PRESET-seedN by default."""
    resume: bool = False
    """Go on from the last saved state in the folder."""
    steps: int | None = None
    """Another number of optimiser steps than the preset's."""
    threads: int | None = None
    """Threads of the processor to use."""

    def run(self) -> int:
        """Train and print the result."""
        from dataclasses import replace

        import torch

        from mimo import train
        from mimo.evaluate import report

        preset = PRESETS[self.preset]
        config: TrainConfig = preset.config
        if self.steps is not None:
            config = replace(config, steps=self.steps)
        if config.steps < 1:
            raise InputError(f"--steps is at least 1, not {config.steps}")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed is from 0 to 2**32 - 1, not {self.seed}")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"--threads is at least 1, not {self.threads}")
        if self.threads:
            torch.set_num_threads(self.threads)
        print(f"{self.preset}: {preset.cost}; expect {preset.expect}", file=sys.stderr)
        out = self.out or Path("runs") / f"{self.preset}-seed{self.seed}"
        command = " ".join(["python -m mimo", *sys.argv[1:]])
        content = train.train(config, out, seed=self.seed, resume=self.resume, command=command)
        if content:
            print(out)
            print(*report(content["result"]), sep="\n")
        return 0


@dataclass
class Evaluate:
    """Restore a test set and print the gain over the blurred photos with its interval."""

    model: Positional[str]
    """Shipped weights (tiny), a .safetensors file, the authors' .pkl, or a classical method
    (wiener, richardson-lucy, unsharp)."""
    data: Positional[Literal["test", "shake", "rotation", "panorama", "frames", "validation"]] = (
        "test"
    )
    """The test set, one of its four kinds, or the validation pairs."""
    ensemble: Literal[1, 4] = 1
    """4: the mean over four rotations, as in MIMO-UNet++."""
    protocol: Literal["authors", "bytes"] = "authors"
    """What is compared: the float output, or the output rounded to 8 bits."""
    json: Path | None = None
    """Write the summary and the row of each image here."""

    def run(self) -> int:
        """Evaluate and print."""
        from tqdm import tqdm

        from mimo import evaluate, testset
        from mimo.baselines import BASELINES
        from mimo.weights import load

        if self.json is not None and (self.json.is_dir() or not self.json.parent.is_dir()):
            raise InputError(f"{self.json}: not a file in a folder that exists")
        if self.model in BASELINES:
            if self.ensemble != 1:
                raise InputError(f"--ensemble is for networks, not for {self.model}")
            restored = BASELINES[self.model]
        else:
            restored = evaluate.by_network(load(self.model), ensemble=self.ensemble)
        pairs = tqdm(testset.pairs(self.data))
        rows = evaluate.evaluate(restored, pairs, protocol=self.protocol)
        result = evaluate.summary(rows)
        if self.json is not None:
            command = " ".join(["python -m mimo", *sys.argv[1:]])
            evaluate.write(self.json, rows, command, self.protocol)
        for line in evaluate.report(result):
            print(line)
        return 0


@dataclass
class Ablate:
    """Train the rows of a table that have no record yet, as far as time allows."""

    campaign: Positional[Literal[tuple(CAMPAIGNS)]]  # type: ignore[valid-type]
    """Which table: its rows stand in mimo/rows.py."""
    workers: int = 1
    """Runs side by side, each on one thread."""
    max_minutes: float | None = None
    """Begin no run that would not be finished in this time."""
    check: bool = False
    """Run one finished pair of row and seed again, and compare it with its record."""

    def run(self) -> int:
        """Run; unfinished runs go on another time."""
        from mimo import campaign

        if self.workers < 1:
            raise InputError(f"--workers is at least 1, not {self.workers}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise InputError(f"--max-minutes is more than 0, not {self.max_minutes}")
        if self.check:
            print(campaign.check(self.campaign))
            return 0
        left = campaign.run(self.campaign, workers=self.workers, max_minutes=self.max_minutes)
        print(f"{self.campaign}: {left} runs left")
        return 0


def parse(words: list[str] | None) -> Restore | Train | Evaluate | Ablate:
    """The command that `words` ask for; tyro's box around a mistake is cut down to a line."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.extras.subcommand_cli_from_dict(
                {"restore": Restore, "train": Train, "evaluate": Evaluate, "ablate": Ablate},
                prog="python -m mimo",
                description="Deblur photos with MIMO-UNet, and train it.",
                args=words,
            )
    except SystemExit as stop:
        if stop.code == 0:
            raise
        lines = [line.strip("│ ") for line in box.getvalue().splitlines()[1:]]
        said = itertools.takewhile(lambda line: not line.startswith(("─", "╰")), lines)
        raise InputError(" ".join(" ".join(said).split()) + " (--help says more)") from None


def main(words: list[str] | None = None) -> int:
    """Run a command; 0, or 2 and one line for a mistake that the user can mend."""
    try:
        return parse(words).run()
    except InputError as error:
        print(f"mimo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mimo: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
