"""What a run writes: `run.json`, `metrics.csv`, `images.csv`. Every result is read from these."""

import csv
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

import mimo
from mimo import precision
from mimo.config import InputError

STATES = ("state.pt", "state.previous.pt", "state.partial")  # of a run; one cut short comes last
RESULTS = ("metrics.csv", "images.csv", "weights.safetensors")  # beside run.json


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write that becomes `path`, complete or not at all. InputError if that fails."""
    partial = path.with_name(f".{os.getpid()}.partial{path.suffix}")  # short: a name may be long
    try:
        yield partial
        partial.replace(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be written ({error})") from None
    finally:
        with suppress(OSError):  # it would hide what went wrong
            partial.unlink()


def write_json(path: Path, content: dict) -> None:
    """Write JSON, complete or not at all. InputError if `path` can't be written.
    JSON has no infinity and no NaN: these become null."""
    finite = json.loads(json.dumps(content), parse_constant=lambda _: None)
    with whole(path) as partial:
        partial.write_text(json.dumps(finite, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict:
    """Read a record."""
    return json.loads(path.read_text())


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write rows that share their keys as CSV, complete or not at all."""
    with whole(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict]:
    """The rows of a CSV file; all but names (of images, scenes, kinds) as numbers."""
    names = ("name", "scene", "kind")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v if k in names else float(v) for k, v in row.items()} for row in rows]


def check_folder(out: Path, resume: bool) -> None:
    """Raise InputError if a run may not write to `out`, because of what lies there."""
    if (out / "run.json").exists():
        raise InputError(f"{out}: holds a finished run; choose another --out or remove it")
    begun = any((out / name).exists() for name in STATES[:2])
    if begun and not resume:
        raise InputError(f"{out}: holds an unfinished run; add --resume, or choose another --out")
    for name in RESULTS:
        if (out / name).exists() and not begun:  # else it is of this run, killed as it ended
            raise InputError(
                f"{out}: holds {name}, which a run would overwrite; choose another --out"
            )


@contextmanager
def held(out: Path, resume: bool) -> Iterator[None]:
    """Keep other processes from training into `out` meanwhile, and check it again.
    InputError if another process holds it."""
    lock = out / ".lock"
    try:
        with FileLock(lock, blocking=False):
            try:
                check_folder(out, resume)  # another process may have finished it since
                yield
            finally:
                with suppress(OSError):
                    lock.unlink()
    except Timeout:
        raise InputError(f"{out}: another process trains into this folder") from None


def write_state(path: Path, state: dict) -> None:
    """Save a training state, and keep the one before it as `state.previous.pt`."""
    partial, previous = path.with_suffix(".partial"), path.with_suffix(".previous.pt")
    try:
        torch.save(state, partial)
        if path.exists():
            path.replace(previous)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        with suppress(OSError):
            partial.unlink()
        raise InputError(
            f"{path}: can't be saved ({error}); free some space, then continue with --resume"
        ) from None


def read_state(path: Path) -> dict | None:
    """The last training state, or the one before it if that is damaged; None if there is none."""
    previous = path.with_suffix(".previous.pt")
    for candidate in (path, previous):
        if not candidate.exists():
            continue
        try:
            return torch.load(candidate, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle can raise anything
            if candidate == previous or not previous.exists():
                raise InputError(f"{candidate}: damaged; remove it to start again") from error
            print(f"mimo: {path}: damaged; going on from {previous.name}", file=sys.stderr)
    return None


def versions() -> dict[str, str]:
    """The versions of the software on which the numbers depend."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "mimo": mimo.__version__,
    }


def hardware() -> dict[str, str | int]:
    """The processor, the threads that PyTorch uses on it, and the GPU if there is one.

    `bfloat16` is False if the device can't multiply in it: results differ in their last digits."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    found: dict[str, str | int] = {
        "cpu": cpu,
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
    }
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        found |= {"gpu": torch.cuda.get_device_name(), "gpus": torch.cuda.device_count()}
    if not precision.multiplies_in_bfloat16("cuda" if on_gpu else "cpu"):
        found["bfloat16"] = False
    return found


@cache
def git_state() -> dict[str, str | bool]:
    """The commit of the package, and whether its files differed from it, at the first call.
    Later calls return the same, since a process goes on with the code that it has read."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(Path(mimo.__file__).parent), *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # fails if the repository is not ours
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "-s", "--", "."))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": True}
