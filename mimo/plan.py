"""What the plan claims of the rows, and how large a difference has to be to matter."""

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
    """The primary claims. whole: the campaign of all three rows."""
    with_loss = "with the same loss" + (" too" if prefix else ", MIMO-UNet beats the U-Net")
    others = {"MIMO-UNet beats the plain U-Net": "unet", with_loss: "unet-msfr"}
    return [Claim(prefix + w, f"{whole}/full", f"{whole}/{o}", True) for w, o in others.items()]


_UNET, _FULL, _WITHOUT_MSFR = (f"components/{name}" for name in ("unet", "full", "mise-mosd-aff"))

CLAIMS: dict[str, list[Claim]] = {
    "components": [
        *_of_whole("components"),
        Claim("inputs at three scales help a U-Net", "components/mise", _UNET),
        Claim("outputs at three scales help a U-Net", "components/mosd", _UNET),
        Claim("AFF helps on top of both", _WITHOUT_MSFR, "components/mise-mosd"),
        Claim("MSFR helps on top of all three", _FULL, _WITHOUT_MSFR),
        Claim("MIMO-UNet needs its inputs", _FULL, "components/full-no-mise"),
        Claim("MIMO-UNet needs its outputs", _FULL, "components/full-no-mosd"),
        Claim("MIMO-UNet needs AFF", _FULL, "components/full-no-aff"),
        Claim("parts beat width", _WITHOUT_MSFR, "components/unet-wide"),
    ],
    "fusion": [
        Claim("FAM beats a sum", _FULL, "fusion/fam-sum"),
        Claim("FAM beats a convolution of both", _FULL, "fusion/fam-concat"),
        Claim("SCM beats one convolution", _FULL, "fusion/scm-conv"),
    ],
    "loss": [
        Claim("MSFR: 0.1 beats 0.03", _FULL, "loss/weight-0.03"),
        Claim("MSFR: 0.1 beats 0.3", _FULL, "loss/weight-0.3"),
        Claim("MSFR: real and imaginary parts beat the modulus", _FULL, "loss/modulus"),
        Claim("MSFR: the whole spectrum beats half of it", _FULL, "loss/one-sided"),
        Claim("MSFR: unscaled beats orthonormal", _FULL, "loss/orthonormal"),
    ],
    "ledger": [
        Claim("inputs without aliasing are better", "ledger/input-antialiased", _FULL),
        Claim("AFF without aliasing is better", "ledger/aff-bilinear", _FULL),
        Claim("dropout in AFF is better", "ledger/aff-dropout", _FULL),
    ],
    "depth": [
        Claim("4 residual blocks beat 2", _FULL, "depth/blocks-2"),
        Claim("8 residual blocks beat 4", "depth/blocks-8", _FULL),
    ],
    "long": _of_whole("long", "trained longer, "),
    "size": _of_whole("size", "at its own size, "),
    "clean": _of_whole("clean", "without noise, "),
}


def on_weak_blur(row: str) -> str:
    """The row that `clean`, or a table beside it, trains in place of this one."""
    table, name = row.split("/")
    if table != "components":
        return f"clean-{row}"
    return f"clean/{name}" if name in CAMPAIGNS["clean"] else f"clean-parts/{name}"


def _again(claims: list[Claim]) -> list[Claim]:
    """The claims that are not primary, on weak blur, in the same words."""
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
CLAIMS["clean-depth"] = _again(CLAIMS["depth"])
