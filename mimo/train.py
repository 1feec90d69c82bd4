"""The training loop: one step after the other, exactly resumable, with everything in sight."""

import copy
import hashlib
import math
import os
import sys
import time
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from mimo import precision, record, testset, weights
from mimo.ablations import FREQUENCY, VARIANTS
from mimo.config import InputError, TrainConfig
from mimo.data import Drawn, ShakePairs, halved, listing_hash, photo_paths, read_photo, window_px
from mimo.evaluate import PROTOCOL, by_network, evaluate, summary
from mimo.losses import content_loss, pyramid
from mimo.metrics import PROTOCOLS
from mimo.network import MIMOUNet
from mimo.packing import FramePairs, FrameTest, drawn, part_of
from mimo.packing import source as frames_source
from mimo.replay import Replayed


def learning_rate(step: int, config: TrainConfig) -> float:
    """The learning rate at a step (counted from 0).
    A linear rise, a constant stretch and a cosine down to zero; or the authors' halvings."""
    rise = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    fall_steps = config.decay * config.steps
    left = (config.steps - step) / fall_steps if fall_steps else 1.0
    halvings = step // config.halve_steps if config.halve_steps else 0
    fall = 0.5 * (1 - math.cos(math.pi * min(1.0, left)))
    return config.lr * rise * fall * 0.5**halvings


def initial_network(config: TrainConfig, seed: int) -> MIMOUNet:
    """A network with PyTorch's default initial values; output heads at zero if `config` says so.

    Each layer draws from a generator of its own, seeded by its name: networks that share a layer
    start with the same values in it, whatever other parts they have.
    """
    net = VARIANTS[config.variant](**asdict(config.net))
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            torch.manual_seed(zlib.crc32(f"{seed} {name}".encode()))
            layer.reset_parameters()
    if config.zero_heads:
        for parameter in net.head.parameters():
            nn.init.zeros_(parameter)
    return net


def training_pairs(
    config: TrainConfig, seed: int, folder: Path | None, **sharing: int
) -> tuple[ShakePairs | FramePairs, dict[str, str], TrainConfig]:
    """The batches of a run, what its record says about them, and its configuration.
    The configuration returned has the number of steps that its epochs come to."""
    how: dict[str, Any] = {
        "crop_px": config.crop_px,
        "batch_images": config.batch_images_global,
        "seed": seed,
        **sharing,
    }
    if config.epochs:
        if folder is None:
            raise InputError("this preset trains on GoPro or RealBlur: say where it is with --data")
        frames = FramePairs(part_of(folder, "train"), blur=config.frames, steps=0, **how)
        halve_steps = config.halve_epochs * frames.steps_per_epoch
        steps = config.epochs * frames.steps_per_epoch
        config = replace(config, steps=steps, halve_steps=halve_steps)
        frames.steps = config.steps
        FrameTest(folder, config.frames)  # if it is missing, fail before the first step
        return frames, frames_source(folder, "train", config.frames), config
    if folder is not None:
        raise InputError("this preset trains on the photos of this book: it takes no --data")
    paths = photo_paths("train")
    photos = [read_photo(p) for p in paths]
    # At half size, photos hold finer, harder detail than most do at full size.
    needed_px = window_px(config.crop_px, config.blur.reach_px[1])
    photos += [halved(p) for p in photos if min(p.shape[:2]) >= 2 * needed_px]
    source = {
        "train": f"{len(paths)} photos at full and half size",
        "train_sha256": listing_hash(paths),
        **testset.source(config.test),
    }
    how |= {"ramp_steps": config.ramp_steps, "turned": config.turned}
    shaken = ShakePairs(photos, config.blur, steps=config.steps, **how)
    return shaken, source, config


def train(
    config: TrainConfig,
    out: Path,
    *,
    folder: Path | None = None,
    seed: int = 0,
    resume: bool = False,
    command: str = "",
    progress: bool = True,
) -> dict:
    """Train, and leave a record and `weights.safetensors` in `out`, which holds a state until then.

    folder: GoPro or RealBlur, or a packed copy, if the configuration trains on frames.

    `config` and `seed` determine the order of the data, the initial values and so, on one processor
    with one number of threads, every bit of the result. With `resume`, a run that stopped goes
    on from its last saved state, or starts if there is none. Returns the record (`run.json`).

    Raises InputError if `out` holds a finished run, another run's state, an unfinished run while
    `resume` is false, or other files by the names of the results.
    """
    started = time.monotonic()
    state_path = out / "state.pt"
    record.check_folder(out, resume)

    # The first process evaluates while the others wait: give it time. We set the precision.
    waiting = InitProcessGroupKwargs(timeout=timedelta(hours=6))
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[waiting])
    if config.batch_images_global % accelerator.num_processes:
        raise InputError(
            f"batch_images_global {config.batch_images_global} can't be shared equally by "
            f"{accelerator.num_processes} processes"
        )
    sharing = {"rank": accelerator.process_index, "processes": accelerator.num_processes}
    pairs, source, config = training_pairs(config, seed, folder, **sharing)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: can't be created as a folder ({error.strerror})") from None

    device = accelerator.device.type
    on_gpu = device == "cuda"
    net = initial_network(config, seed)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kept = copy.deepcopy(net)  # the average of the weights
    algorithm = getattr(torch.optim, config.optimizer)
    optimizer = algorithm(net.parameters(), lr=config.lr, capturable=on_gpu)
    identity = {"configuration": asdict(config), "seed": seed, "data": source, "device": device}
    state: dict[str, Any] = {
        "identity": identity,
        "step": 0,
        "images_seen": 0,
        "wall_s": 0.0,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": record.git_state(),
        "metrics": [],
        "images": [],
    }
    saved = record.read_state(state_path) if resume else None
    if saved is not None:
        other = [k for k, v in identity.items() if saved["identity"].get(k) != v]
        if other:
            raise InputError(f"{state_path}: belongs to a run with another {' or '.join(other)}")
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        kept.load_state_dict(saved["average"])
        state |= {k: saved[k] for k in state}
    wall_before_s = state["wall_s"]
    model, optimizer = accelerator.prepare(net, optimizer)
    kept.to(accelerator.device)
    if on_gpu:
        model = torch.compile(model)
        torch.backends.cudnn.benchmark = True
        for group in optimizer.param_groups:  # a tensor, which a replayed step reads anew
            group["lr"] = torch.zeros((), device=accelerator.device)

    def save() -> None:
        state["wall_s"] = wall_before_s + time.monotonic() - started
        tensors = {"net": net, "optimizer": optimizer, "average": kept}
        record.write_state(state_path, state | {k: v.state_dict() for k, v in tensors.items()})

    def update(*batch: Tensor) -> Tensor:
        """One step of the optimiser; returns the two losses."""
        blurred, sharp = shaken(*batch)
        targets = pyramid(sharp, config.targets)
        with precision.bfloat16(device, config.bfloat16):
            restored = model(blurred.contiguous(memory_format=torch.channels_last))
        content = content_loss(restored, targets)
        # Not computed if its weight is zero: it takes time.
        weight = config.frequency_weight
        frequency = FREQUENCY[config.frequency](restored, targets) if weight else content * 0
        # Processes are averaged, but they may not share the last batch of an epoch equally.
        share = len(blurred) * accelerator.num_processes / pairs.images(state["step"])
        accelerator.backward(share * (content + weight * frequency))
        if config.clip_norm is not None:
            accelerator.clip_grad_norm_(net.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():  # not PyTorch's AveragedModel, which cannot be recorded
            news = 1 - config.ema_decay if state["step"] else 1.0
            torch._foreach_lerp_(list(kept.parameters()), list(net.parameters()), news)
        return torch.stack([content.detach(), frequency.detach()])

    # Workers prepare whole batches; each process asks for its own part of the same global batch.
    # A GPU shakes the photos itself, and replays its steps.
    batches: Dataset = pairs
    shaken: Callable[..., tuple[Tensor, ...]] = lambda *pair: pair  # noqa: E731
    if on_gpu and isinstance(pairs, ShakePairs):
        batches, shaken = Drawn(pairs), pairs.shaken
    take_step = Replayed(update) if on_gpu and accelerator.num_processes == 1 else update
    workers = min(config.workers, (os.cpu_count() or 1) - 1)
    rest = Subset(batches, range(state["step"], config.steps))
    loader = DataLoader(rest, batch_size=None, num_workers=workers, pin_memory=on_gpu)
    with record.held(out, resume) if accelerator.is_main_process else nullcontext():
        bar = tqdm(
            drawn(loader),
            "train",
            config.steps,
            initial=state["step"],
            disable=not (progress and accelerator.is_main_process),
        )
        saved_at = time.monotonic()
        model.train()
        for batch in bar:
            # Dropout too follows from seed, step and process: resumed, it drops the same channels.
            torch.manual_seed(zlib.crc32(f"{seed} {state['step']} {sharing['rank']}".encode()))
            rate = learning_rate(state["step"], config)
            for group in optimizer.param_groups:
                group["lr"] = group["lr"].fill_(rate) if on_gpu else rate
            losses = take_step(*(b.to(accelerator.device, non_blocking=True) for b in batch))
            state["images_seen"] += pairs.images(state["step"])
            state["step"] += 1

            step = state["step"]
            if step % config.log_steps == 0 or step == config.steps:
                losses = accelerator.reduce(losses, "mean")  # type: ignore[assignment]
                row = {
                    "step": step,
                    "content": round(losses[0].item(), 6),
                    "frequency": round(losses[1].item(), 6),
                    "lr": round(float(optimizer.param_groups[0]["lr"]), 9),
                }
                if not math.isfinite(row["content"]):
                    raise InputError(
                        f"the loss is {row['content']} at step {step}: lower the learning rate"
                    )
                state["metrics"].append(row)
                bar.set_postfix(content=f"{row['content']:.4f}")
            if accelerator.is_main_process:
                if step in config.budgets_steps or step == config.steps:
                    tested = (
                        FrameTest(folder, config.frames) if folder else testset.pairs(config.test)
                    )
                    rows = evaluate(by_network(kept.eval()), tested)
                    state["images"] += [{"step": step} | r for r in rows]
                if time.monotonic() - saved_at > config.save_s:
                    save()
                    saved_at = time.monotonic()

        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            save()
            return _finish(out, state, kept, command, source)
        return {}


def _finish(out: Path, state: dict, net: MIMOUNet, command: str, source: dict) -> dict:
    """Write weights and record, and delete the state, so that `out` holds a finished run."""
    by_step: dict[int, list[dict]] = {}
    for row in state["images"]:
        by_step.setdefault(row["step"], []).append(row)
    budgets = {str(step): summary(rows) for step, rows in by_step.items()}
    config = state["identity"]["configuration"]
    weights.save(net, out / "weights.safetensors")
    digest = hashlib.sha256((out / "weights.safetensors").read_bytes()).hexdigest()
    content = {
        "command": command or " ".join(sys.argv),
        "seed": state["identity"]["seed"],
        "config": config,
        "git": state["git"],
        "versions": record.versions(),
        "hardware": record.hardware(),
        "data": source,
        "protocol": PROTOCOL.format(PROTOCOLS["authors"].words),
        "started": state["started"],
        "wall_s": round(state["wall_s"], 1),
        "images_seen": state["images_seen"],
        "weights_sha256": digest,
        "result": budgets[str(state["step"])],
        "budgets": budgets,
    }
    record.write_rows(out / "metrics.csv", state["metrics"])
    record.write_rows(out / "images.csv", state["images"])
    record.write_json(out / "run.json", content)
    for name in record.STATES:
        (out / name).unlink(missing_ok=True)
    return content
