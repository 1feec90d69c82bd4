"""The tables: for each row, the configuration that trains it and the number of seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mimo.config import PAPER, PRESETS, SHIPPED, SHORT, BlurConfig, NetConfig, TrainConfig


@dataclass(frozen=True)
class Row:
    """A row of a table: how it is trained, what it is, and with how many seeds."""

    config: TrainConfig
    what: str
    seeds: int


Rows = Mapping[str, Row]


def _rows(seeds: int, changes: Mapping[str, tuple[TrainConfig, str]]) -> Rows:
    return {name: Row(config, what, seeds) for name, (config, what) in changes.items()}


RECIPE = replace(
    SHORT,
    net=NetConfig(width=8, res_blocks=4),
    blur=SHIPPED.blur,
    steps=3_000,
    batch_images_global=8,
    crop_px=64,
    lr=1e-3,
    warmup_steps=300,
    decay=0.5,
    test="validation",
)


def _recipe() -> Rows:
    small = RECIPE
    crops = small.batch_images_global * small.steps
    nadam = replace(small, optimizer="NAdam")
    changes = {
        "base": (small, "Adam, 1e-3, constant then cosine, clipped, heads at zero, averaged"),
        "lr-1e-4": (replace(small, lr=1e-4), "the paper's learning rate"),
        "lr-3e-4": (replace(small, lr=3e-4), "learning rate 3e-4"),
        "lr-2e-3": (replace(small, lr=2e-3), "learning rate 2e-3"),
        "paper-schedule": (
            replace(small, decay=0.0, warmup_steps=0, halve_steps=small.steps // 6),
            "halved five times, as the paper's",
        ),
        "cosine": (replace(small, decay=1.0), "cosine from the first step"),
        "constant": (replace(small, decay=0.0), "constant rate, averaged weights"),
        "no-clip": (replace(small, clip_norm=None), "gradients not clipped"),
        "no-zero-heads": (replace(small, zero_heads=False), "output heads at PyTorch's default"),
        "no-average": (replace(small, ema_decay=0.0), "last weights instead of their average"),
        "float32": (replace(small, bfloat16=False), "float32 throughout"),
        "adamw": (replace(small, optimizer="AdamW"), "AdamW"),
        "nadam": (nadam, "NAdam"),
        "nadam-no-average": (replace(nadam, ema_decay=0.0), "NAdam, and last weights"),
        "ramp": (replace(small, ramp_steps=small.steps // 2), "blur grows over the first half"),
        "crops-128": (
            replace(small, crop_px=128, batch_images_global=2),
            "2 crops of 128 px instead of 8 of 64",
        ),
        "crops-96": (
            replace(small, crop_px=96, batch_images_global=4, steps=crops * 64**2 // (4 * 96**2)),
            "4 crops of 96 px, as many pixels in all",
        ),
    }
    # One more seed for the rows among which one would choose.
    best = ("base", "no-average", "nadam", "nadam-no-average")
    return {**_rows(2, changes), **_rows(3, {name: changes[name] for name in best})}


def _recipe_unet() -> Rows:
    """Settings of the tables' recipe, tried on the plain U-Net too: rate, clipping, heads, average.
    Each row is the same as in `recipe` except for the network and its loss."""
    names = ("base", "lr-3e-4", "lr-2e-3", "no-clip", "no-zero-heads", "no-average")
    rows = {name: row for name, row in _recipe().items() if name in names}
    return {
        name: replace(row, config=replace(row.config, variant="unet", frequency_weight=0.0))
        for name, row in rows.items()
    }


# The scale of the tables: 5 to 10 minutes per run on one core. A rate that does not fall and
# the mean of the last weights make results at different steps of a run comparable.
ABLATION = replace(
    SHORT,
    net=NetConfig(width=8, res_blocks=4),
    blur=BlurConfig(reach_px=(0.0, 8.0), highlight_gain=(1.0, 2.5)),
    steps=6_000,
    batch_images_global=4,
    crop_px=64,
    lr=1e-3,
    warmup_steps=500,
    budgets_steps=(750, 1_500, 3_000),
)


def _components(base: TrainConfig, seeds: int) -> Rows:
    wide = replace(base, net=replace(base.net, width=base.net.width + 1))
    rows = {
        "unet": (base, "unet", False, "plain U-Net"),
        "mise": (base, "mise", False, "+ inputs at three scales"),
        "mosd": (base, "mosd", False, "+ outputs at three scales"),
        "mise-mosd": (base, "no-aff", False, "+ both"),
        "mise-mosd-aff": (base, "full", False, "+ all three: MIMO-UNet without MSFR"),
        "full": (base, "full", True, "MIMO-UNet"),
        "full-no-mise": (base, "no-mise", True, "MIMO-UNet, encoder without small inputs"),
        "full-no-mosd": (base, "no-mosd", True, "MIMO-UNet, one output"),
        "full-no-aff": (base, "no-aff", True, "MIMO-UNet, plain skip connections"),
        "unet-msfr": (base, "unet", True, "plain U-Net with MSFR"),
        "unet-wide": (wide, "unet", False, "plain U-Net, one channel wider"),
    }
    changes = {
        name: (replace(c, variant=v, frequency_weight=0.1 * msfr), what)
        for name, (c, v, msfr, what) in rows.items()
    }
    return _rows(seeds, changes)


def _fusion(base: TrainConfig, seeds: int) -> Rows:
    changes = {
        "fam-sum": (replace(base, variant="fam-sum"), "FAM a sum"),
        "fam-concat": (replace(base, variant="fam-concat"), "FAM a convolution of both"),
        "scm-conv": (replace(base, variant="scm-conv"), "SCM one convolution"),
    }
    return _rows(seeds, changes)


def _loss(base: TrainConfig, seeds: int) -> Rows:
    changes = {
        "weight-0.03": (replace(base, frequency_weight=0.03), "MSFR weighs 0.03"),
        "weight-0.3": (replace(base, frequency_weight=0.3), "MSFR weighs 0.3"),
        "modulus": (replace(base, frequency="modulus"), "modulus of the complex difference"),
        "one-sided": (replace(base, frequency="one-sided"), "half of the spectrum"),
        "orthonormal": (replace(base, frequency="orthonormal"), "orthonormal transform"),
    }
    return _rows(seeds, changes)


def _ledger(base: TrainConfig, seeds: int) -> Rows:
    antialiased = replace(base, variant="input-antialiased")
    dropout = replace(base, net=replace(base.net, aff_dropout=0.1))
    changes = {
        "input-antialiased": (antialiased, "smaller inputs without aliasing"),
        "aff-bilinear": (replace(base, variant="aff-bilinear"), "AFF resizes without aliasing"),
        "aff-dropout": (dropout, "a tenth of the channels out of AFF dropped"),
        "targets-nearest": (replace(base, targets="nearest"), "smaller targets decimated too"),
    }
    if base.steps:  # GoPro's crops are only mirrored anyway
        changes["mirrored"] = (replace(base, turned=False), "crops mirrored alone, not turned")
    return _rows(seeds, changes)


def _depth(base: TrainConfig, seeds: int) -> Rows:
    n = base.net.res_blocks
    changes = {
        f"blocks-{m}": (replace(base, net=replace(base.net, res_blocks=m)), what)
        for m, what in ((n // 2, "half the residual blocks"), (2 * n, "twice the residual blocks"))
    }
    return _rows(seeds, changes)


def _primary(rows: Rows) -> Rows:
    """The rows that the primary claims compare."""
    return {name: rows[name] for name in ("unet", "unet-msfr", "full")}


def _msfr(rows: Rows) -> Rows:
    """MIMO-UNet and the U-Net with MSFR, which weighs as much as on the authors' crops.
    MSFR's part in the gradient grows with the side of the crop."""
    found = {}
    for name in ("unet-msfr", "full"):
        row = rows[name]
        weight = PAPER.frequency_weight * PAPER.crop_px / row.config.crop_px
        config = replace(row.config, frequency_weight=weight)
        found[name] = Row(config, f"{row.what}, MSFR at the authors' weight", seeds=3)
    return found


def _long(base: TrainConfig, seeds: int, doublings: int) -> Rows:
    """The rows of `components`, trained longer; each doubling is a budget."""
    steps = [base.steps * 2**n for n in range(doublings + 1)]
    budgets = (*base.budgets_steps, *steps[:-1])
    return _components(replace(base, steps=steps[-1], budgets_steps=budgets), seeds)


def _size(base: TrainConfig, seeds: int) -> Rows:
    """The primary rows in networks of the paper's size, 8 crops of 128 px per step: for a GPU."""
    large = PRESETS["large"].config
    base = replace(base, net=large.net, lr=large.lr, batch_images_global=8, crop_px=large.crop_px)
    return _primary(_components(replace(base, workers=4), seeds))


def _on_weak_blur(base: TrainConfig) -> TrainConfig:
    """The same configuration where most can be gained: weak shake, no noise, no lamps."""
    blur = BlurConfig(reach_px=(1.0, 4.0), shot_noise=(0.0, 0.0), highlight_gain=(1.0, 1.0))
    return replace(base, blur=blur, test="clean")


def _clean(base: TrainConfig, seeds: int) -> Rows:
    """All rows of `components` on weak blur, with twice the width and twice the steps."""
    base = replace(
        _on_weak_blur(base),
        net=replace(base.net, width=2 * base.net.width),
        steps=2 * base.steps,
        budgets_steps=(*base.budgets_steps[1:], base.steps),
    )
    return _components(base, seeds)


def _pilot() -> Rows:
    """What the plan rests on, judged on validation photos so that it gives no result away."""
    rows = _components(replace(ABLATION, lr=2e-3, test="validation"), seeds=3)
    found = {name: rows[name] for name in ("unet", "full")}
    for name, row in list(found.items()):
        for lr in ("1e-3", "4e-3"):
            config = replace(row.config, lr=float(lr), steps=3_000, budgets_steps=(750, 1_500))
            found[f"{name}-lr-{lr}"] = Row(config, row.what, seeds=1)
    return found


CLEAN = _clean(ABLATION, seeds=5)
CLEAN_LONG = _long(CLEAN["full"].config, seeds=3, doublings=2)
# Tables of alternatives to the choices made in `full`.
OTHERS = {"fusion": _fusion, "loss": _loss, "ledger": _ledger, "depth": _depth}

CAMPAIGNS: dict[str, Rows] = {
    "pilot": _pilot(),
    "components": _components(ABLATION, seeds=6),
    **{name: of(ABLATION, seeds=3) for name, of in OTHERS.items()},
    "long": _primary(_long(ABLATION, seeds=3, doublings=3)),
    "size": _size(ABLATION, seeds=3),
    "clean": _primary(CLEAN),
    "clean-parts": {name: row for name, row in CLEAN.items() if name not in _primary(CLEAN)},
    "clean-long": _primary(CLEAN_LONG),
    "clean-size": _size(_on_weak_blur(ABLATION), seeds=3),
    "clean-long-parts": {"mise-mosd-aff": CLEAN_LONG["mise-mosd-aff"]},
    "msfr": _msfr(_components(ABLATION, seeds=6)),
    "clean-msfr": _msfr(CLEAN),
    **{f"clean-{name}": of(CLEAN["full"].config, seeds=3) for name, of in OTHERS.items()},
    "recipe": _recipe(),
    "recipe-unet": _recipe_unet(),
    # The same rows at the paper's scale, on GoPro: for GPUs, and not run by us.
    "components-paper": _components(PAPER, seeds=6),
    **{f"{name}-paper": of(PAPER, seeds=3) for name, of in OTHERS.items()},
}


def named(row: str) -> Row:
    """The row named CAMPAIGN/ROW."""
    campaign, name = row.split("/")
    return CAMPAIGNS[campaign][name]
