"""GoPro and RealBlur on disk: their layouts, their splits and an integrity check."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image as PILImage
from tqdm import tqdm

from mimo.config import InputError
from mimo.data import Photo, read_photo

LISTS_AT = "datalist/ of github.com/rimchang/RSBlur"
REALBLUR_LISTS = {"RealBlur-J": "RealBlur_J_{}_list.txt", "RealBlur-R": "RealBlur_R_{}_list.txt"}
BLURS = ("blur", "blur_gamma", *REALBLUR_LISTS)  # two folders of GoPro, two versions of RealBlur
# First frame and number of frames of each sequence of GoPro, none of which has gaps; from the lists
# of HongguangZhang/DMPHN-cvpr19-master. Together, the 2,103 and 1,111 pairs of Nah et al. 2017.
GOPRO = {
    "train": {
        "GOPR0372_07_00": (47, 100), "GOPR0372_07_01": (601, 75), "GOPR0374_11_00": (1, 150),
        "GOPR0374_11_01": (203, 80), "GOPR0374_11_02": (541, 100), "GOPR0374_11_03": (2481, 48),
        "GOPR0378_13_00": (41, 110), "GOPR0379_11_00": (188, 100), "GOPR0380_11_00": (134, 60),
        "GOPR0384_11_01": (951, 100), "GOPR0384_11_02": (1301, 100), "GOPR0384_11_03": (2101, 100),
        "GOPR0384_11_04": (2801, 100), "GOPR0385_11_00": (101, 100), "GOPR0386_11_00": (247, 100),
        "GOPR0477_11_00": (1, 80), "GOPR0857_11_00": (1, 100), "GOPR0868_11_01": (221, 100),
        "GOPR0868_11_02": (681, 100), "GOPR0871_11_01": (181, 100), "GOPR0881_11_00": (1, 100),
        "GOPR0884_11_00": (186, 100),
    },
    "test": {
        "GOPR0384_11_00": (1, 100), "GOPR0384_11_05": (4001, 100), "GOPR0385_11_01": (3011, 100),
        "GOPR0396_11_00": (1, 100), "GOPR0410_11_00": (101, 134), "GOPR0854_11_00": (1, 100),
        "GOPR0862_11_00": (1, 77), "GOPR0868_11_00": (1, 100), "GOPR0869_11_00": (1, 100),
        "GOPR0871_11_00": (1, 100), "GOPR0881_11_01": (201, 100),
    },
}  # fmt: skip
GOPRO_SIZE = (1280, 720)
FRAME = "[0-9]" * 6 + ".png"


class PairPath(NamedTuple):
    """Where a pair lies; `sequence` is a folder of GoPro or a scene of RealBlur."""

    sequence: str
    frame: str
    blurred: Path
    sharp: Path


def held_out(sequences: Sequence[str]) -> list[str]:
    """The training sequences kept for validation: two of GoPro's 22, otherwise every 11th by name.

    GoPro has no validation split, and the authors of MIMO-UNet used the test set instead (issue
    13 of their repository). Whole sequences are kept, since the frames of one look alike; and these
    two, since no other sequence, in training or test, was cut from the same recording.
    """
    names = sorted(set(sequences))
    alone = [name for name in names if name in ("GOPR0386_11_00", "GOPR0884_11_00")]
    return alone or names[::11]


def find_pairs(root: Path, split: str, blur: str = "blur") -> list[PairPath]:
    """The pairs of a split, sorted by sequence and frame.

    `blur`: GoPro's folder of blurred frames (blur, blur_gamma), or RealBlur-J or RealBlur-R.
    `split`: train or test as published; validation (`held_out`) and fit (the rest) make up train.
    Raises InputError for an unknown layout, a missing twin, sizes that differ or an empty folder.
    """
    if split not in ("train", "fit", "validation", "test"):
        raise InputError(f"split {split!r}: not one of train, fit, validation, test")
    pairs, problems = _scan(root, "test" if split == "test" else "train", blur)
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise InputError(problems[0] + more)
    return of_split(pairs, split)


def of_split(pairs: list[Any], split: str) -> list[Any]:
    """The training pairs (sequence first) of fit or validation; for any other split, all pairs."""
    kept = held_out([sequence for sequence, *_ in pairs])
    if split in ("fit", "validation"):
        pairs = [pair for pair in pairs if (pair[0] in kept) == (split == "validation")]
        if not pairs:
            raise InputError(f"no pairs for {split}: validation takes all of {', '.join(kept)}")
    return pairs


def _scan(
    root: Path, part: str, blur: str, size: tuple[int, int] | None = None
) -> tuple[list[PairPath], list[str]]:
    """The sound pairs of train or test, all of `size` if given, and a line for each problem."""
    if blur not in BLURS:
        raise InputError(f"blur {blur!r}: not one of {', '.join(BLURS)}")
    pairs, problems = (_listed if blur in REALBLUR_LISTS else _twins)(root, part, blur)
    sound = []
    for pair in pairs:
        sizes = []
        for path in (pair.blurred, pair.sharp):
            try:
                with PILImage.open(path) as image:
                    sizes.append(image.size)
            except (OSError, SyntaxError):
                problems.append(f"{path}: damaged, not an image; replace it")
        if len(sizes) < 2:
            continue
        (w, h), (w2, h2) = sizes
        if (w, h) != (w2, h2):
            problems.append(f"{pair.blurred}: {w} x {h}, but its sharp twin is {w2} x {h2}")
        elif size and (w, h) != size:
            problems.append(f"{pair.sharp}: {w} x {h}, expected {size[0]} x {size[1]}")
        else:
            sound.append(pair)
    if not sound and not problems:
        problems = [f"{root}: no pairs for {part} here"]
    return sorted(sound), problems


def _unknown(root: Path, expected: str) -> tuple[list[PairPath], list[str]]:
    """No pairs, and a line that says what is there instead."""
    names = sorted(p.name for p in root.glob("*"))
    found = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") or "nothing"
    return [], [f"{root}: found {found}; expected {expected}"]


def _twins(root: Path, part: str, blur: str) -> tuple[list[PairPath], list[str]]:
    """GoPro: pairs by file name in `part/<sequence>/{blur,sharp}`, and a line for each problem."""
    if not (root / part).is_dir():
        return _unknown(root, f"GoPro's {part}/<sequence>/{{{blur},sharp}}/NNNNNN.png")
    pairs, problems = [], []
    for folder in sorted(p for p in (root / part).iterdir() if p.is_dir()):
        names = {kind: {p.name for p in (folder / kind).glob(FRAME)} for kind in (blur, "sharp")}
        if not any(names.values()):
            problems.append(f"{folder}: empty; expected .png files in {blur} and sharp")
        for name in sorted(names[blur] | names["sharp"]):
            missing = [folder / kind / name for kind in names if name not in names[kind]]
            if missing:
                problems.append(f"{missing[0]}: missing, but its twin is there")
            else:
                paths = folder / blur / name, folder / "sharp" / name
                pairs.append(PairPath(folder.name, paths[0].stem, *paths))
    return pairs, problems


def _listed(root: Path, part: str, blur: str) -> tuple[list[PairPath], list[str]]:
    """RealBlur: the pairs that the list file names, and no others; a line is "sharp blurred"."""
    listing = root / REALBLUR_LISTS[blur].format(part)
    if not listing.is_file():
        return _unknown(root, f"the list {listing.name} of RealBlur; its lists are in {LISTS_AT}")
    pairs, problems = [], []
    for line in filter(str.strip, listing.read_text(errors="replace").splitlines()):
        paths = [root / word for word in line.split()]
        if len(paths) != 2:
            problems.append(f"{listing}: {line.strip()[:80]!r} is not of the form 'SHARP BLURRED'")
        elif any(w.startswith("/") or ".." in Path(w).parts for w in line.split()):
            problems.append(f"{listing}: {line.strip()[:80]!r} leads out of the folder")
        elif missing := [p for p in paths if not p.is_file()]:
            problems.append(f"{missing[0]}: missing, but {listing.name} names it")
        else:
            scene = paths[0].parent.parent.name
            pairs.append(PairPath(scene, paths[0].stem, blurred=paths[1], sharp=paths[0]))
    return pairs, problems


def check(root: Path, *, dataset: str | None = None, decode: bool = False) -> tuple[list[str], str]:
    """Problems with a copy of GoPro or RealBlur, a line for each, and a one-line summary.

    GoPro is compared with its published numbers, RealBlur with its lists. `dataset` (gopro,
    realblur) says which it should be; by default, it is what is there. `decode` reads every
    picture to its end, which takes minutes; without it, only the headers are read.
    """
    blurs = [b for b, name in REALBLUR_LISTS.items() if list(root.glob(name.format("*")))]
    blurs = [] if dataset == "gopro" else blurs
    if not blurs and (dataset == "realblur" or not any((root / p).is_dir() for p in GOPRO)):
        lists = f"RealBlur's RealBlur_J_train_list.txt and so on (its lists are in {LISTS_AT})"
        expected = {"gopro": "GoPro's train and test", "realblur": lists}
        either = expected.get(str(dataset), ", or ".join(expected.values()))
        return _unknown(root, either)[1], f"{root}: no {dataset or 'data set'}"
    problems, counts, files = [], [], set()
    for blur in blurs or ["blur", "blur_gamma"]:
        for part in GOPRO:
            pairs, found = _scan(root, part, blur, None if blurs else GOPRO_SIZE)
            problems += found + ([] if blurs else _against_gopro(root / part, blur, pairs))
            counts.append(f"{part}/{blur} {len(pairs):,} pairs")
            files |= {path for pair in pairs for path in (pair.blurred, pair.sharp)}
    for path in tqdm(sorted(files), "decode", disable=None) if decode else []:
        try:
            read_frame(path)
        except InputError as error:
            problems.append(str(error))
    problems = list(dict.fromkeys(problems))  # both kinds of blur share the sharp pictures
    state = f"{len(problems):,} problem(s)" if problems else "complete"
    return problems, f"{root}: {state}; {', '.join(counts)}"


def _against_gopro(folder: Path, blur: str, pairs: list[PairPath]) -> list[str]:
    """What is missing from the published `train` or `test`, and what does not belong there."""
    published = GOPRO[folder.name]
    problems = [
        f"{folder / name}: not a sequence of GoPro's {folder.name}"
        for name in sorted({p.sequence for p in pairs} - set(published))
    ]
    for name, (first, count) in published.items():
        # A frame that is partly there has been reported already, with what is wrong with it.
        there = {p.stem for p in folder.glob(f"{name}/*/{FRAME}")}
        frames = [f"{n:06d}" for n in range(first, first + count)]
        if not there:
            problems.append(f"{folder / name}: missing, with all its {count} frames")
        elif lacking := [n for n in frames if n not in there]:
            some = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
            problems.append(f"{folder / name}: lacks {some} ({len(lacking)} in all)")
    total = sum(count for _, count in published.values())
    if len(pairs) != total:
        problems.append(f"{folder}: {len(pairs):,} sound pairs with {blur}, not {total:,}")
    return problems


def read_frame(path: Path) -> Photo:
    """A picture as h w 3 bytes. Raises InputError if it is damaged."""
    try:
        return read_photo(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: damaged or cut short; replace it ({error})") from None
