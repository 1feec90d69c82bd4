"""Downloads are resumed and checked, archives distrusted, and a mishap leaves what was there."""

import hashlib
import io
import lzma
import random
import re
import stat
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import Mock

import pytest
from test_datasets import make_gopro, make_realblur, small_gopro  # noqa: F401

from mimo import fetch, unpack
from mimo.__main__ import main


def packed(root, kind="zip"):
    """A folder as an archive, in memory."""
    buffer = io.BytesIO()
    files = sorted(p for p in root.rglob("*") if p.is_file())
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as pack:
            for path in files:
                pack.write(path, path.relative_to(root))
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as pack:
            for path in files:
                pack.add(path, path.relative_to(root))
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves one archive; `drops` are bytes after which it hangs up, one for each answer."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.drops, self.ranges = content, [], []
        self.resumes, self.status, self.kind = True, None, "application/zip"
        self.url = f"http://127.0.0.1:{self.server_port}/archive.zip"


class Handler(BaseHTTPRequestHandler):
    """Answers with the archive, or with what the server was told to do wrong."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        start = int(re.match(r"bytes=(\d+)-$", asked)[1]) if asked and server.resumes else 0
        size = len(server.content)
        if server.status:
            return self.send_error(server.status)
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        stop = start + server.drops.pop(0) if server.drops else size
        self.wfile.write(server.content[start:stop])

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE_S", 0.0)


@pytest.fixture
def server(tmp_path):
    content = packed(make_gopro(tmp_path / "source"))
    with Server(content) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def get(server, tmp_path, small_gopro, capsys):  # noqa: F811
    """Fetch from the server to `tmp_path/new/gopro`; returns the status and what was said."""
    (tmp_path / "new").mkdir()

    def run(*words, folder=tmp_path / "new" / "gopro", url=server.url, yes=True):
        digest = hashlib.sha256(server.content).hexdigest()
        more = ["--sha256", digest] if "--sha256" not in words else []
        words = [*words, *more, *(["--yes"] if yes else [])]
        words += ["--url", url] if url else []
        status = main(["fetch", "gopro", f"{folder}", *words])
        return status, *capsys.readouterr()

    return run


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def same_files(one, two):
    files = [{p.relative_to(r): p.read_bytes() for p in r.rglob("*.*")} for r in (one, two)]
    return files[0] == files[1]


def test_a_data_set_is_downloaded_checked_and_nothing_else_is_left(get, server, tmp_path):
    status, out, err = get()
    assert (status, err) == (0, "") and "complete; train/blur 7 pairs" in out
    assert "CC BY 4.0" in out and "https://seungjunnah.github.io" in out and "9.5 GB" in out
    assert names(tmp_path / "new") == ["gopro"] and server.ranges == [None]
    assert same_files(tmp_path / "new" / "gopro", tmp_path / "source")
    assert get()[0] == 0 and server.ranges == [None]  # it is there: only checked


def test_a_lost_connection_is_taken_up_where_it_was_lost(get, server, tmp_path):
    server.drops = [10_000, 5_000]
    status, _, err = get()
    assert (status, err) == (0, "")
    assert server.ranges == [None, "bytes=10000-", "bytes=15000-"]
    assert same_files(tmp_path / "new" / "gopro", tmp_path / "source")


def test_a_download_that_was_given_up_is_taken_up_by_the_next_run(get, server, tmp_path):
    server.drops = [1000] * fetch.ATTEMPTS
    status, _, err = get()
    assert status == 2 and "5,000 bytes are kept; the same command resumes there" in err
    assert err.count("\n") == 1 and names(tmp_path / "new") == ["gopro.gopro.part"]
    assert get()[0] == 0
    assert server.ranges[fetch.ATTEMPTS :] == ["bytes=5000-"]
    assert names(tmp_path / "new") == ["gopro"]


def test_a_server_that_cannot_resume_sends_it_all_again(get, server, tmp_path):
    server.resumes, server.drops = False, [10_000]
    status, out, _ = get()
    assert status == 0 and "the server can't resume" in out
    assert server.ranges == [None, "bytes=10000-"]
    assert same_files(tmp_path / "new" / "gopro", tmp_path / "source")


def test_a_wrong_checksum_is_refused_and_the_archive_is_kept(get, server, tmp_path):
    status, _, err = get("--sha256", "0" * 64)
    assert status == 2 and f"expected {'0' * 64}; remove it to retry" in err
    assert names(tmp_path / "new") == ["gopro.gopro.part"]
    assert get()[0] == 0  # a mistyped checksum costs no second download
    assert server.ranges == [None, f"bytes={len(server.content)}-"]


def test_an_archive_cut_short_is_refused(get, server, tmp_path):
    server.content = server.content[:-500]
    status, _, err = get()
    assert status == 2 and "damaged archive" in err and err.count("\n") == 1
    assert names(tmp_path / "new") == ["gopro.gopro.part"]


def test_an_archive_with_a_flipped_bit_is_refused(get, server, tmp_path):
    middle = len(server.content) // 2
    server.content = server.content[:middle] + b"\0\1\2\3" + server.content[middle + 4 :]
    status, _, err = get()
    assert status == 2 and "damaged archive (Bad CRC-32" in err
    assert names(tmp_path / "new") == ["gopro.gopro.part"]


def test_a_status_of_the_server_is_said_with_the_page_to_visit(get, server, tmp_path):
    server.status = 404
    status, _, err = get()
    assert (status, err) == (
        2,
        f"mimo: {server.url}: 404 Not Found; see https://seungjunnah.github.io/Datasets/gopro\n",
    )
    assert names(tmp_path / "new") == [] and len(server.ranges) == 1
    server.status = 503  # may pass
    assert "503 Service Unavailable" in get()[2] and len(server.ranges) == 1 + fetch.ATTEMPTS


def test_a_web_page_is_not_taken_for_an_archive(get, server, tmp_path):
    server.kind = "text/html; charset=utf-8"
    status, _, err = get()
    assert status == 2 and "a web page, not an archive" in err and names(tmp_path / "new") == []


def test_a_part_longer_than_the_file_is_not_gone_on_with(get, server, tmp_path):
    part = tmp_path / "new" / "gopro.gopro.part"
    part.write_bytes(server.content + b"more")
    status, _, err = get()
    assert status == 2 and "416" in err and f"remove {part} to start again" in err
    assert part.read_bytes() == server.content + b"more"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/a.zip", "ftp://host/a.zip", "a.zip", "http://[x/a.zip", "http://x/ä.zip"],
)
def test_an_address_that_leads_nowhere_is_said(get, tmp_path, url):
    status, _, err = get(url=url)
    assert status == 2 and url in err and err.count("\n") == 1 and names(tmp_path / "new") == []


def test_without_an_address_the_page_is_named(tmp_path, capsys):
    assert main(["fetch", "realblur", f"{tmp_path}/new", "--yes"]) == 2
    err = capsys.readouterr().err
    assert "no direct address for realblur is known" in err and "github.com/rimchang" in err


def test_nothing_starts_without_consent(get, server, tmp_path, monkeypatch):
    status, out, err = get(yes=False)
    assert status == 2 and "add --yes" in err and "licence" in out
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for answer, expected in (("n", 2), ("", 2), ("y", 0)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert server.ranges == [] and get(yes=False)[0] == expected


def test_no_answer_at_all_is_no_consent(get, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", Mock(side_effect=EOFError))
    assert get(yes=False)[::2] == (130, "mimo: stopped\n") and names(tmp_path / "new") == []


def test_a_link_to_a_folder_is_followed(get, tmp_path):
    (tmp_path / "large disk").mkdir()
    link = tmp_path / "new" / "link"
    link.symlink_to(tmp_path / "large disk")
    assert get(folder=link)[0] == 0 and link.is_symlink()
    assert same_files(tmp_path / "large disk", tmp_path / "source")


def test_the_folder_that_one_is_in_can_be_filled(get, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert get(folder=".")[0] == 0
    assert same_files(tmp_path / "here", tmp_path / "source")


def test_a_folder_in_the_way_is_left_alone(get, server, tmp_path):
    taken = tmp_path / "new" / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    status, _, err = get(folder=taken)
    assert status == 2 and "found notes.txt; expected GoPro's train and test" in err
    assert get(folder=taken / "notes.txt")[2].endswith("notes.txt: not a folder\n")
    assert (taken / "notes.txt").read_text() == "mine" and names(taken) == ["notes.txt"]
    assert "nothing here to check" in get("--check")[2] and server.ranges == []
    assert "no: can't be read or written" in get(folder=tmp_path / "no" / "gopro")[2]
    (tmp_path / "new" / "blocked.gopro.part").mkdir()  # as good as a folder without permission
    assert "can't be read or written" in get(folder=tmp_path / "new" / "blocked")[2]


def test_a_full_disk_is_noticed_before_the_download(get, tmp_path, monkeypatch):
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: free)
    status, _, err = get()
    assert status == 2 and "1,000 bytes free" in err and names(tmp_path / "new") == []


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_at_hand_is_unpacked_and_kept(tmp_path, capsys, kind):
    archive = tmp_path / "RealBlur.archive"
    archive.write_bytes(packed(make_realblur(tmp_path / "up" / "realblur").parent, kind))
    words = ["fetch", "realblur", f"{tmp_path}/new", "--yes", "--archive", f"{archive}"]
    assert main(words) == 0
    out = capsys.readouterr().out
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert f"no published checksum is known; the SHA-256 of this archive is {digest}" in out
    assert "complete; train/RealBlur-J 6 pairs, test/RealBlur-J 3 pairs" in out
    assert same_files(tmp_path / "new", tmp_path / "up" / "realblur")
    assert names(tmp_path) == ["RealBlur.archive", "new", "up"]


def zip_with(*members):
    """A zip archive with one harmless member and these (name, content, Unix mode)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content, mode in [("train/a/blur/000001.png", b"1", 0), *members]:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            pack.writestr(info, content)
    return buffer.getvalue()


def tar_with(name, **attributes):
    """A tar archive with one harmless member and one with these attributes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as pack:
        pack.addfile(tarfile.TarInfo("train/a"))
        member = tarfile.TarInfo(name)
        for key, value in attributes.items():
            setattr(member, key, value)
        pack.addfile(member)
    return buffer.getvalue()


HOSTILE = {
    "../out": lambda: zip_with(("../out", b"x", 0)),
    "train/../../out": lambda: zip_with(("train/../../out", b"x", 0)),
    "/out": lambda: zip_with(("/out", b"x", 0)),
    "C:/out": lambda: zip_with(("C:/out", b"x", 0)),
    "..\\out": lambda: zip_with(("..\\out", b"x", 0)),
    "zip-link": lambda: zip_with(("zip-link", b"/etc", stat.S_IFLNK | 0o777)),
    "twice": lambda: zip_with(("twice", b"1", 0), ("./twice", b"2", 0)),
    "bomb": lambda: zip_with(("bomb", bytes(unpack.LARGEST_FILE + 1), 0)),
    "../tar": lambda: tar_with("../tar"),
    "/tar": lambda: tar_with("/tar"),
    "tar-link": lambda: tar_with("tar-link", type=tarfile.SYMTYPE, linkname="/etc"),
    "tar-hard": lambda: tar_with("tar-hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "tar-device": lambda: tar_with("tar-device", type=tarfile.CHRTYPE),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_before_a_byte_is_written(tmp_path, capsys, monkeypatch, name):
    archive = tmp_path / "archive"
    archive.write_bytes(HOSTILE[name]())
    monkeypatch.setattr(unpack.shutil, "copyfileobj", lambda *_: pytest.fail("was written"))
    words = ["fetch", "realblur", f"{tmp_path}/in/new", "--yes", "--archive", f"{archive}"]
    (tmp_path / "in").mkdir()
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "nothing was unpacked: member" in err and repr(name)[1:-1].split("/")[-1] in err
    assert err.count("\n") == 1 and names(tmp_path) == ["archive", "in"]
    assert names(tmp_path / "in") == []


def test_many_members_are_refused_when_they_would_not_fit(tmp_path, capsys, monkeypatch):
    archive = tmp_path / "archive"
    archive.write_bytes(zip_with(*((f"train/{n}", bytes(1000), 0) for n in range(9))))
    monkeypatch.setattr(unpack, "LARGEST_SUM", 5000)
    words = ["fetch", "realblur", f"{tmp_path}/new", "--yes", "--archive", f"{archive}"]
    assert main(words) == 2
    assert "member 'train/4' and those before it would be 5,001 bytes" in capsys.readouterr().err


def broken_xz():
    """A tar.xz that is broken where a member is read, not where the archive is opened."""
    pack = io.BytesIO()
    with tarfile.open(fileobj=pack, mode="w") as archive:
        for name in ("train/a", "train/b"):
            member = tarfile.TarInfo(name)
            member.size = 400_000
            archive.addfile(member, io.BytesIO(random.Random(0).randbytes(member.size)))
    content = bytearray(lzma.compress(pack.getvalue()))
    content[300_000] ^= 255
    return bytes(content)


@pytest.mark.parametrize(
    "content", [b"", b"text", zip_with()[:60], tar_with("a")[:-20], broken_xz()]
)
def test_something_else_than_an_archive_is_refused(tmp_path, capsys, content):
    (tmp_path / "archive").write_bytes(content)
    words = ["fetch", "realblur", f"{tmp_path}/new", "--yes", "--archive", f"{tmp_path}/archive"]
    assert main(words) == 2
    assert "damaged archive" in capsys.readouterr().err and names(tmp_path) == ["archive"]


def test_an_archive_of_something_else_is_refused(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "archive", "w") as pack:
        pack.writestr("photos/a.png", b"")
    words = ["fetch", "realblur", f"{tmp_path}/new", "--yes", "--archive", f"{tmp_path}/archive"]
    assert main(words) == 2
    assert "holds neither GoPro's train" in capsys.readouterr().err
    assert names(tmp_path) == ["archive"]
