"""What several commands share: checks of their options, and the command as typed."""

import os
import shlex
import sys
from pathlib import Path

from mimo.config import InputError


def at_least(low: int, **given: int | None) -> None:
    """Raise InputError if an option is given and smaller than `low`."""
    for name, value in given.items():
        if value is not None and value < low:
            raise InputError(f"--{name.replace('_', '-')} is at least {low}, not {value}")


def as_typed() -> str:
    """The command that is running, in a form that can be typed again."""
    processes = os.environ.get("WORLD_SIZE", "1")  # set by accelerate for several
    start = "python" if processes == "1" else f"accelerate launch --num_processes {processes}"
    return f"{start} {shlex.join(['-m', 'mimo', *sys.argv[1:]])}"


def check_target(json: Path | None) -> None:
    """Raise InputError, before long work begins, if its result can't be written to `json`."""
    if json is not None and (json.is_dir() or not json.parent.is_dir()):
        raise InputError(f"{json}: not a file in a folder that exists")
