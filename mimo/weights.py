"""Weights on disk: our safetensors files, and the checkpoints that the authors released."""

import json
import pickle
import re
import warnings
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as in_bytes
from torch import Tensor, nn

from mimo import record
from mimo.config import InputError
from mimo.network import MIMOUNet

TRAINED = Path(__file__).parent / "trained"
Part = TypeVar("Part", bound=nn.Module)

# The authors' names (as regular expressions) and ours. They number scales from the smallest in some
# places and from the largest in others; ours are k = 1, 2, 3 for full, half, quarter size.
AUTHORS = (
    (r"feat_extract\.0\.main", "stem"),
    (r"feat_extract\.1\.main", "down.2"),
    (r"feat_extract\.2\.main", "down.3"),
    (r"feat_extract\.3\.main", "up.2"),
    (r"feat_extract\.4\.main", "up.1"),
    (r"feat_extract\.5\.main\.0", "head.1"),
    (r"ConvsOut\.0\.main\.0", "head.3"),
    (r"ConvsOut\.1\.main\.0", "head.2"),
    (r"Convs\.0\.main", "merge.2"),
    (r"Convs\.1\.main", "merge.1"),
    (r"Encoder\.0", "encoder.1"),
    (r"Encoder\.1", "encoder.2"),
    (r"Encoder\.2", "encoder.3"),
    (r"Decoder\.0", "decoder.3"),
    (r"Decoder\.1", "decoder.2"),
    (r"Decoder\.2", "decoder.1"),
    (r"layers\.(\d+)\.main\.0\.main\.0", r"\1.first.0"),
    (r"layers\.(\d+)\.main\.1\.main\.0", r"\1.second"),
    (r"AFFs\.0", "aff.1"),
    (r"AFFs\.1", "aff.2"),
    (r"conv\.0\.main", "mix"),
    (r"conv\.1\.main\.0", "smooth"),
    (r"FAM1", "fam.3"),
    (r"FAM2", "fam.2"),
    (r"merge\.main\.0", "merge"),
    (r"SCM1", "scm.3"),
    (r"SCM2", "scm.2"),
    (r"main\.(\d)\.main", r"layers.\1"),
    (r"conv\.main\.0", "mix"),
)


def our_name(authors_name: str) -> str:
    """Our name for a tensor in the authors' checkpoints."""
    for pattern, ours in AUTHORS:
        authors_name = re.sub(rf"\b{pattern}\b", ours, authors_name, count=1)
    return authors_name


def load(name_or_path: str | Path, device: str | torch.device | None = None) -> MIMOUNet:
    """A trained network, in eval mode.

    name_or_path: the name of shipped weights (`tiny`, `small`, or `large`, which is MIMO-UNet at
    its own size), one of our `.safetensors` files, or a checkpoint of the authors
    (`MIMO-UNet.pkl`, `MIMO-UNetPlus.pkl`), which is read without running any code that it may
    carry. Width and depth are read off the tensors; what these do not tell, such as how a network
    resizes, is assumed to be as in MIMO-UNet.
    device: where to put the network; by default the GPU, if there is one.

    Raises InputError for a file that is missing or holds something else.
    """
    path = Path(name_or_path)
    if path.suffix == "" and not path.is_file():
        path = TRAINED / f"{name_or_path}.safetensors"
        if not path.exists():
            names = ", ".join(sorted(p.stem for p in TRAINED.glob("*.safetensors")))
            raise InputError(f"no weights named {name_or_path}; there are {names}, or give a file")
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected .safetensors or the authors' .pkl")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    net = _build(state, path)
    return net.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def save(net: MIMOUNet, path: Path) -> None:
    """Write weights and configuration as safetensors, complete or not at all."""
    tensors = {k: v.detach().contiguous().cpu() for k, v in net.state_dict().items()}
    # Not save_file, whose files no other user may read (safetensors 0.8).
    with record.whole(path) as partial:
        partial.write_bytes(in_bytes(tensors, {"mimo.MIMOUNet": json.dumps(net.config)}))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file, or a damaged one ({error})") from None


def copy_weights(source: nn.Module, to: Part) -> Part:
    """Copy the parameters of `source` into `to` one by one, in the order in which they were made.

    This allows a rewritten part to be compared with the one that it replaces. Raises ValueError at
    the first parameter whose shape differs, or if one module has more of them than the other.
    """
    for i, (given, taken) in enumerate(zip_longest(source.parameters(), to.parameters()), start=1):
        want, have = (None if p is None else tuple(p.shape) for p in (given, taken))
        if given is None or taken is None or have != want:
            raise ValueError(f"parameter {i} has the shape {have}, where {want} was expected")
        taken.data.copy_(given)
    return to


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about kinds of pickle; the outcome says it all
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: not a checkpoint, or one that carries more than tensors; not loaded, since "
            "it could run code"
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: not a checkpoint, or a damaged one ({error!r:.80})") from None
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise InputError(f"{path}: holds no state_dict, nor {{'model': state_dict}}")
    return {our_name(k): v for k, v in state.items()}


def _build(state: dict[str, Tensor], path: Path) -> MIMOUNet:
    """The network whose tensors these are."""
    if "stem.0.weight" not in state:
        raise InputError(f"{path}: not the weights of a MIMO-UNet (no tensor stem.0.weight)")
    blocks = {int(m[1]) for k in state if (m := re.match(r"encoder\.1\.(\d+)\.", k))}
    if state["stem.0.weight"].ndim != 4 or state["stem.0.weight"].shape[0] < 4:
        raise InputError(f"{path}: not the weights of a MIMO-UNet (odd shape of stem.0.weight)")
    with torch.device("meta"):  # takes no memory, whatever the file says
        net = MIMOUNet(state["stem.0.weight"].shape[0], len(blocks))
    want = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    have = {k: tuple(v.shape) for k, v in state.items()}
    odd = sorted(set(want.items()) ^ set(have.items()))
    if odd:
        raise InputError(
            f"{path}: not the weights of a MIMO-UNet: {len(odd)} tensors are missing, too many or "
            f"of another shape, {odd[0][0]} {odd[0][1]} among them"
        )
    net.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    return net
