"""What the plan claims about the rows, and how large a difference has to be to matter."""

from dataclasses import dataclass, replace

from mimo.rows import CAMPAIGNS


@dataclass(frozen=True)
class Claim:
    """A sentence that counts as true if `row` beats `other` by what matters; both CAMPAIGN/ROW."""

    words: str
    row: str
    other: str
    primary: bool = False


SMALLEST_DB = 0.05  # the smallest difference that matters; book/plan.md says why


def _of_whole(whole: str, prefix: str = "") -> list[Claim]:
    """The primary claims. whole: the campaign that holds all three rows."""
    with_loss = "with the same loss" + (" too" if prefix else ", MIMO-UNet beats the U-Net")
    others = {"MIMO-UNet beats the plain U-Net": "unet", with_loss: "unet-msfr"}
    return [Claim(prefix + w, f"{whole}/full", f"{whole}/{o}", True) for w, o in others.items()]


def _of_tables(scale: str = "", blocks: int = 4) -> dict[str, list[Claim]]:
    """The claims of the five tables. scale: suffix of their names; blocks: per chain of `full`."""
    of = f"components{scale}"
    unet, full, without_msfr = (f"{of}/{name}" for name in ("unet", "full", "mise-mosd-aff"))
    loss, depth = (f"{name}{scale}" for name in ("loss", "depth"))
    half, twice = blocks // 2, 2 * blocks
    return {
        of: [
            *_of_whole(of),
            Claim("inputs at three scales help a U-Net", f"{of}/mise", unet),
            Claim("outputs at three scales help a U-Net", f"{of}/mosd", unet),
            Claim("AFF helps on top of both", without_msfr, f"{of}/mise-mosd"),
            Claim("MSFR helps on top of all three", full, without_msfr),
            Claim("MIMO-UNet needs its inputs", full, f"{of}/full-no-mise"),
            Claim("MIMO-UNet needs its outputs", full, f"{of}/full-no-mosd"),
            Claim("MIMO-UNet needs AFF", full, f"{of}/full-no-aff"),
            Claim("parts beat width", without_msfr, f"{of}/unet-wide"),
        ],
        f"fusion{scale}": [
            Claim("FAM beats a sum", full, f"fusion{scale}/fam-sum"),
            Claim("FAM beats a convolution of both", full, f"fusion{scale}/fam-concat"),
            Claim("SCM beats one convolution", full, f"fusion{scale}/scm-conv"),
        ],
        loss: [
            Claim("MSFR: 0.1 beats 0.03", full, f"{loss}/weight-0.03"),
            Claim("MSFR: 0.1 beats 0.3", full, f"{loss}/weight-0.3"),
            Claim("MSFR: real and imaginary parts beat the modulus", full, f"{loss}/modulus"),
            Claim("MSFR: the whole spectrum beats half of it", full, f"{loss}/one-sided"),
            Claim("MSFR: unscaled beats orthonormal", full, f"{loss}/orthonormal"),
        ],
        f"ledger{scale}": [
            Claim("inputs without aliasing are better", f"ledger{scale}/input-antialiased", full),
            Claim("AFF without aliasing is better", f"ledger{scale}/aff-bilinear", full),
            Claim("dropout in AFF is better", f"ledger{scale}/aff-dropout", full),
        ],
        depth: [
            Claim(f"{blocks} residual blocks beat {half}", full, f"{depth}/blocks-{half}"),
            Claim(f"{twice} residual blocks beat {blocks}", f"{depth}/blocks-{twice}", full),
        ],
    }


CLAIMS: dict[str, list[Claim]] = {
    **_of_tables(),
    "long": _of_whole("long", "trained longer, "),
    "size": _of_whole("size", "at its own size, "),
    "clean": _of_whole("clean", "without noise, "),
    "clean-long": _of_whole("clean-long", "without noise and longer, "),
    "clean-size": _of_whole("clean-size", "at its own size and without noise, "),
}
# The same claims at the paper's scale, about runs that we do not have.
PAPER_CLAIMS = _of_tables("-paper", blocks=8)


def on_weak_blur(row: str) -> str:
    """The row that takes the place of this one on weak blur, in `clean` or a table beside it."""
    table, name = row.split("/")
    if table != "components":
        return f"clean-{row}"
    return f"clean/{name}" if name in CAMPAIGNS["clean"] else f"clean-parts/{name}"


def _again(claims: list[Claim]) -> list[Claim]:
    """The claims that are not primary, repeated on weak blur in the same words."""
    return [
        replace(
            c,
            words=f"without noise, {c.words}",
            row=on_weak_blur(c.row),
            other=on_weak_blur(c.other),
        )
        for c in claims
        if not c.primary
    ]


CLAIMS["clean-parts"] = _again(CLAIMS["components"])
CLAIMS["clean-fusion"] = _again(CLAIMS["fusion"])
CLAIMS["clean-loss"] = _again(CLAIMS["loss"])
CLAIMS["clean-ledger"] = _again(CLAIMS["ledger"])
CLAIMS["clean-depth"] = _again(CLAIMS["depth"])

_PARTS, _LONGER = "clean-long-parts/mise-mosd-aff", "without noise and longer"
CLAIMS["clean-long-parts"] = [
    Claim(f"{_LONGER}, MSFR helps on top of all three", "clean-long/full", _PARTS),
    Claim(f"{_LONGER}, the three parts help a U-Net", _PARTS, "clean-long/unet"),
]

_HEAVY = "MSFR at the authors' weight"
CLAIMS["msfr"] = [
    Claim(f"{_HEAVY} helps on top of all three", "msfr/full", "components/mise-mosd-aff"),
    Claim(f"{_HEAVY}: MIMO-UNet beats the plain U-Net", "msfr/full", "components/unet"),
    Claim(f"{_HEAVY}: MIMO-UNet beats the U-Net with it", "msfr/full", "msfr/unet-msfr"),
]
CLAIMS["clean-msfr"] = _again(CLAIMS["msfr"])

# Seen in a look at early budgets, and asked again on weak blur: better row, other row, steps.
ASKED_AGAIN = [
    ("components/full", "loss/orthonormal", 1_500),
    ("ledger/targets-nearest", "components/full", 1_500),
    ("ledger/targets-nearest", "components/full", 3_000),
    ("ledger/input-antialiased", "components/full", 1_500),
    ("ledger/mirrored", "components/full", 1_500),
]
