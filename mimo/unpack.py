"""Unpack an untrusted archive: one that could do harm is refused before a byte is written."""

import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from mimo.config import InputError

LARGEST_FILE, LARGEST_SUM = 1 << 26, 1 << 36  # bytes; pictures and data sets are far smaller
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
)
FOREIGN = (RuntimeError, NotImplementedError)  # encrypted, or packed by an unknown method


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into `folder` (new or empty) if all its members are safe.

    Raises InputError for an unsafe or damaged archive, or one that holds neither data set.
    """
    partial = folder.with_name(folder.name + ".extracting")
    try:
        with zipfile.ZipFile(path) if zipfile.is_zipfile(path) else tarfile.open(path) as pack:
            reader: Callable = pack.open if isinstance(pack, zipfile.ZipFile) else pack.extractfile
            members = _safe_members(path, pack, shutil.disk_usage(folder.parent).free)
            shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed
            partial.mkdir()
            for place, member in tqdm(members.items(), "unpack", disable=None):
                target = partial / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with reader(member) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
        tops = [partial, *sorted(partial.iterdir())]
        roots = [t for t in tops if (t / "train").is_dir() or any(t.glob("RealBlur[-_]*"))]
        if not roots:
            raise InputError(f"{path}: holds neither GoPro's train and test nor RealBlur's folders")
        if not folder.is_dir():
            roots[0].rename(folder)
        else:  # a shell may be in it, or it may be another disk
            for child in roots[0].iterdir():
                shutil.move(child, folder)
    except (*DAMAGE, *FOREIGN) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path}: damaged archive ({reason}); remove it to retry") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _safe_members(
    path: Path, pack: zipfile.ZipFile | tarfile.TarFile, free: int
) -> dict[PurePosixPath, Any]:
    """The files in an archive, by path; InputError if a member could do harm."""
    files: dict[PurePosixPath, Any] = {}
    total = 0
    for member in pack.infolist() if isinstance(pack, zipfile.ZipFile) else pack:
        name, size, kind = _describe(member)
        place = PurePosixPath(name)
        total += size
        problem = None
        if place.is_absolute() or ".." in place.parts or re.search(r"[\\:\0]", name):
            problem = "leads out of the folder"
        elif kind == "other":
            problem = "is a link or a device"
        elif place in files:
            problem = "occurs twice"
        elif size > LARGEST_FILE:
            problem = f"would be {size:,} bytes, more than any picture"
        elif total > min(free, LARGEST_SUM):
            problem = f"and those before it would be {total:,} bytes, with {free:,} free"
        if problem:
            raise InputError(f"{path}: nothing was unpacked: member {name!r} {problem}")
        if kind == "file":
            files[place] = member
    return files


def _describe(member: zipfile.ZipInfo | tarfile.TarInfo) -> tuple[str, int, str]:
    """Name, size and kind (file, folder, other) of a member of an archive."""
    if isinstance(member, tarfile.TarInfo):
        file = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
        return member.name, member.size, "folder" if member.isdir() else "file" if file else "other"
    file = stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG)  # 0: not from Unix
    kind = "folder" if member.is_dir() else "file" if file else "other"
    return member.filename, member.file_size, kind
