"""What the files around the package promise, held against one another."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

import mimo

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def tracked_files():
    """The files that git tracks, with their text; pictures and weights are left out."""
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in names.split("\0"):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            yield name, content.decode("utf-8", errors="replace")


def distribution(requirement):
    """The name in a requirement, in the one spelling that all spellings stand for."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_conda_and_make_install_the_same():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert [re.split("[=<>]", entry)[0] for entry in conda[:-1]] == ["python", "pip"]
    make = re.search(r"pip install --quiet (.*)", (ROOT / "Makefile").read_text())[1]
    assert " ".join(conda[-1]["pip"]) == make.replace('"', "")


def test_every_dependency_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {distribution(name) for name in pins}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["book"], *extras["test"]]
    assert [name for name in wanted if distribution(name) not in pinned] == []
    assert pins["torch"] == "2.13.0"


def test_licence_and_citation_name_this_version():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert citation["version"] == PROJECT["version"] == mimo.__version__
    assert citation["authors"] and citation["references"][0]["start"] == 4641


def test_the_readme_and_the_continuous_run_test_alike():
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"^make book\b", readme, re.MULTILINE)
    command = re.search(r"^make test\b", readme, re.MULTILINE)[0]
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1].endswith(command)


@pytest.mark.parametrize(
    "forbidden",
    [
        pytest.param(r"registry[.]npmjs|pypi[.]org|python[h]osted|deb[.]debian", id="servers"),
        pytest.param(r"(?<![\w.~-])/(work|home|root|Users)/", id="paths-of-a-machine"),
    ],
)
def test_no_file_names(forbidden):
    this = Path(__file__).relative_to(ROOT).as_posix()
    pattern = re.compile(forbidden)
    found = [name for name, text in tracked_files() if name != this and pattern.search(text)]
    assert found == []


def test_the_lock_file_has_integrity_and_no_addresses():
    packages = json.loads((ROOT / "book" / "package-lock.json").read_text())["packages"]
    installed = [package for name, package in packages.items() if name]
    assert installed and all("integrity" in package for package in installed)
    assert [package for package in installed if "resolved" in package] == []


def test_no_file_of_the_package_is_long():
    lines = {p.name: len(p.read_text().splitlines()) for p in (ROOT / "mimo").glob("*.py")}
    assert max(lines.values()) <= 300, lines


PROSE = [*sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "data").rglob("README.md"))]
PROSE.append(ROOT / "README.md")


def test_no_word_is_misspelled():
    """Those that codespell knows, in pages, package and tests."""
    paths = [*PROSE, *(ROOT / "mimo").glob("*.py"), *(ROOT / "tests").glob("*.py")]
    words = ["--builtin", "clear,rare,informal", "--ignore-words-list", "utputs"]  # **o**utputs
    command = [sys.executable, "-m", "codespell_lib", *words, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


def test_spelling_is_british_throughout():
    """In prose: code has the names of its libraries."""
    lines = (files("codespell_lib") / "data/dictionary_en-GB_to_en-US.txt").read_text().splitlines()
    british = {line.split("->")[0]: line.split("->")[1].split(",")[0] for line in lines}
    american = {us: gb for gb, us in british.items() if us not in british and us != "program"}
    found = []
    for path in PROSE:
        text = re.sub(
            r"^```\{code-cell\}.*?^```$|`[^`\n]+`|https?:\S+",
            "",
            path.read_text(),
            flags=re.M | re.S,
        )
        text = re.sub(r"^---$.*?^---$", "", text, count=1, flags=re.M | re.S)
        words = set(re.findall(r"[a-z]+", text.lower()))
        found += [f"{path.name}: {w}, not {american[w]}" for w in sorted(words & set(american))]
    assert found == []
