"""Download GoPro or RealBlur: resume where it stopped, check, unpack, and rename at the end."""

import hashlib
import http.client
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mimo.config import InputError
from mimo.unpack import unpack

ATTEMPTS, PAUSE_S, TIMEOUT_S = 5, 1.0, 60
DROPPED = (ConnectionError, TimeoutError)


@dataclass(frozen=True)
class Source:
    """Where a data set comes from, and what its user should know before it is downloaded."""

    title: str
    page: str
    size: str
    url: str | None
    sha256: str | None
    licence: str = "CC BY 4.0, according to the data set's page"


SOURCES = {
    "gopro": Source(
        "GoPro (GOPRO_Large.zip), Nah et al. 2017",
        page="https://seungjunnah.github.io/Datasets/gopro",
        size="9.5 GB, and as much again to unpack it",
        # On the account of the data set's author; two public scripts pin this checksum of the file.
        url="https://huggingface.co/datasets/snah/GOPRO_Large/resolve/main/GOPRO_Large.zip",
        sha256="24532c036712515cf33803704421311c91f6a080e76049d7e5e7fd22389f128e",
    ),
    "realblur": Source(
        "RealBlur (RealBlur.tar.gz), Rim et al. 2020",
        page="https://github.com/rimchang/RealBlur",
        size="13 GB, and as much again to unpack it",
        url=None,
        sha256=None,
    ),
}


def fetch(
    dataset: str,
    folder: Path,
    *,
    url: str | None = None,
    archive: Path | None = None,
    sha256: str | None = None,
    yes: bool = False,
) -> None:
    """Put a data set into `folder` (new or empty), from `url` or an archive downloaded before.

    Asks before it starts, unless `yes`. The download stays beside `folder` until it is unpacked,
    so that the same command resumes where it stopped. Raises InputError if anything goes wrong.
    """
    folder = folder.resolve()  # not a link, which can't be replaced
    source = SOURCES[dataset]
    url, expected = url or source.url, sha256 or source.sha256
    if archive is None and not re.match("https?://", url or ""):
        lacking = f"{url} is not an address" if url else f"no direct address for {dataset} is known"
        raise InputError(
            f"{lacking}: download it in a browser from {source.page} and give --archive FILE, or"
            " an address with --url"
        )
    print(f"{source.title}\nlicence: {source.licence}\npage: {source.page}\nsize: {source.size}")
    print(f"from: {archive or url}\nto: {folder}")
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("nothing was downloaded: add --yes to start without being asked")
        if input("Start? [y/N] ").strip().lower() not in ("y", "yes"):
            raise InputError("nothing was downloaded")
    path = archive or folder.with_name(f"{folder.name}.{dataset}.part")
    try:
        if archive is None:
            download(str(url), path, source.page)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if expected is None:
            print(f"no published checksum is known; the SHA-256 of this archive is {found}")
        elif found != expected.lower():
            raise InputError(f"{path}: SHA-256 is {found}, expected {expected}; remove it to retry")
        unpack(path, folder)
        if archive is None:
            path.unlink()
    except OSError as error:
        name = error.filename or path
        raise InputError(f"{name}: can't be read or written ({error.strerror})") from None


def download(url: str, path: Path, page: str) -> None:
    """Append to `path` what it lacks of `url`; after a lost connection, try again a few times."""
    reason: object = "the connection was lost"
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_S * attempt)
        have = path.stat().st_size if path.exists() else 0
        try:
            asked = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
            with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:
                total = _receive(answer, path, have)
            if total in (None, path.stat().st_size):
                return
        except urllib.error.HTTPError as error:
            if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
                return  # nothing is missing
            hint = f"remove {path} to start again" if error.code == 416 else f"see {page}"
            if error.code < 500:
                raise InputError(f"{url}: {error.code} {error.reason}; {hint}") from None
            reason = f"{error.code} {error.reason}"
        except ValueError as error:
            raise InputError(f"{url}: not an address ({error})") from None
        except (urllib.error.URLError, http.client.HTTPException, *DROPPED) as error:
            reason = getattr(error, "reason", error)
    have = path.stat().st_size if path.exists() else 0
    raise InputError(f"{url}: {reason}; {have:,} bytes are kept; the same command resumes there")


def _receive(answer: http.client.HTTPResponse, path: Path, have: int) -> int | None:
    """Write a response to `path`, after its `have` bytes or over them; returns the full size."""
    if answer.headers.get_content_type() == "text/html":
        raise InputError(f"{answer.url}: a web page, not an archive; use a browser, then --archive")
    length = answer.headers.get("Content-Length")
    if answer.status == 206:
        span = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != have:
            raise InputError(f"{answer.url}: sent a part that was not asked for; remove {path}")
    elif have:
        print("the server can't resume: from the beginning again")
        have = 0
    total = have + int(length) if length else None
    free = shutil.disk_usage(path.parent).free
    if total is not None and total - have > free:
        raise InputError(f"{path.parent}: {free:,} bytes free, {total - have:,} needed")
    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, disable=None)
    with path.open("ab" if have else "wb") as file, bar:
        while block := answer.read(1 << 20):
            file.write(block)
            bar.update(len(block))
    return total
