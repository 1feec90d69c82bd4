"""What several commands ask of their options."""

import shlex
import sys
from pathlib import Path

from mimo.config import InputError


def at_least(low: int, **given: int | None) -> None:
    """That options are not too small."""
    for name, value in given.items():
        if value is not None and value < low:
            raise InputError(f"--{name.replace('_', '-')} is at least {low}, not {value}")


def as_typed() -> str:
    """The command, as it can be typed again."""
    return shlex.join(["python", "-m", "mimo", *sys.argv[1:]])


def check_target(json: Path | None) -> None:
    """Before long work, that its result can be written."""
    if json is not None and (json.is_dir() or not json.parent.is_dir()):
        raise InputError(f"{json}: not a file in a folder that exists")
