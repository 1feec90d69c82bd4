"""The command line: `python -m mimo COMMAND --help` says what each command takes."""

import contextlib
import io
import itertools
import sys

import tyro

from mimo.commands import Ablate, Bench, Command, Convert, Evaluate, Fetch, Restore, Train
from mimo.config import InputError


def parse(words: list[str] | None) -> Command:
    """The command that `words` ask for; tyro's boxed error message is reduced to one line."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.extras.subcommand_cli_from_dict(
                {
                    "restore": Restore,
                    "train": Train,
                    "evaluate": Evaluate,
                    "ablate": Ablate,
                    "convert": Convert,
                    "fetch": Fetch,
                    "bench": Bench,
                },
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
    """Run a command; returns 0, or 2 after a line about a mistake that the user can mend."""
    try:
        return parse(words).run()
    except InputError as error:
        print(f"mimo: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"mimo: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, EOFError):  # EOFError: a question got no answer
        print("mimo: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
