"""book/build.py on a book of two pages: what is executed again, and what is left when it fails."""

import json
import shutil

import build
import pytest
from filelock import FileLock

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""
PARAMETERS = """```{code-cell} ipython3
:tags: [parameters]

profile = "cpu"
```

"""
# Prints what no second run would print again.
RUN = """```{code-cell} ipython3
import uuid

print(uuid.uuid4())
```
"""


@pytest.fixture
def book(tmp_path):
    """A book that has been executed once; its pages are `index` and `plain`, which has no code."""
    for folder in ("book", "data", "mimo"):
        (tmp_path / folder).mkdir()
    write(tmp_path, "book/_toc.yml", "format: jb-book\nroot: index\nchapters: [{file: plain}]\n")
    write(tmp_path, "book/index.md", HEADER + "# Index\n\n" + PARAMETERS + RUN)
    write(tmp_path, "book/plain.md", "(plain)=\n# Plain\n")
    write(tmp_path, "mimo/part.py", "one = 1\n")
    write(tmp_path, "data/numbers.csv", "1\n")
    assert execute(tmp_path) == 0
    return tmp_path


def write(root, name, text):
    """Replace a file of the book."""
    (root / name).write_text(text)


def execute(root, *arguments):
    """Run build.py on this book, without typesetting it; the exit status."""
    return build.main(["--execute-only", *arguments], root)


def run_of(root, page="index"):
    """What a page printed: no two executions of it print the same."""
    notebook = json.loads((root / "_build" / "executed" / f"{page}.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    return "".join(line for output in outputs for line in output["text"])


def test_an_unchanged_page_is_not_executed_again(book):
    before = run_of(book)
    assert execute(book) == 0
    assert run_of(book) == before


def test_a_run_warns_of_nothing(book, capfd):
    """No warning of a library, once a page, in which one that counts would be lost."""
    assert execute(book, "--pages", "index", "--profile", "smoke") == 0
    assert "WARNING" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("book/index.md", HEADER + "# Index, changed\n\n" + PARAMETERS + RUN),
        ("mimo/part.py", "one = 2\n"),
        ("mimo/new.py", ""),
        ("data/numbers.csv", "2\n"),
        ("book/claims.yml", "psnr: 30\n"),
    ],
)
def test_a_page_is_executed_again_when_what_it_depends_on_changes(book, name, text):
    before = run_of(book)
    write(book, name, text)
    assert execute(book) == 0
    assert run_of(book) != before


def test_a_page_is_executed_again_with_other_parameters(book):
    before = run_of(book)
    assert execute(book, "--profile", "smoke") == 0
    assert run_of(book) != before


def test_a_page_that_is_not_asked_for_stays_as_it_was(book):
    before = run_of(book)
    write(book, "mimo/part.py", "one = 2\n")
    assert execute(book, "--pages", "plain") == 0
    assert run_of(book) == before


def test_the_status_page_sees_every_other_page_and_follows_them(book):
    toc = "format: jb-book\nroot: index\nchapters: [{file: status}, {file: last}]\n"
    list_pages = "from pathlib import Path\n\nprint(sorted(p.stem for p in Path().glob('*.ipynb')))"
    status = HEADER + "# Status\n\n" + PARAMETERS + RUN.replace("print(", f"{list_pages}\nprint(")
    write(book, "book/_toc.yml", toc)
    write(book, "book/status.md", status)
    write(book, "book/last.md", HEADER + "# Last\n\n" + PARAMETERS + RUN)
    assert execute(book) == 0
    before = run_of(book, "status")
    assert before.startswith("['index', 'last']\n")
    assert execute(book) == 0
    assert run_of(book, "status") == before
    write(book, "book/last.md", HEADER + "# Last, changed\n\n" + PARAMETERS + RUN)
    assert execute(book) == 0
    assert run_of(book, "status") != before


def test_pages_run_side_by_side_but_one_that_measures_runs_alone(book, monkeypatch):
    monkeypatch.setattr(build, "CORES", 2)
    names = ("first", "second", "timed", "third")
    pages = ", ".join(f"{{file: {name}}}" for name in names)
    write(book, "book/_toc.yml", f"format: jb-book\nroot: index\nchapters: [{pages}]\n")
    for name in names:
        clock = "time.perf_counter()" if name == "timed" else "time.time()"
        cell = f"import time\n\n{clock}\nprint(time.time())\ntime.sleep(3)\nprint(time.time())\n"
        text = HEADER + f"# {name}\n\n" + PARAMETERS + f"```{{code-cell}} ipython3\n{cell}```\n"
        write(book, f"book/{name}.md", text)
    assert execute(book) == 0
    times = {name: [float(t) for t in run_of(book, name).split()] for name in names}
    assert times["first"][0] < times["second"][1] and times["second"][0] < times["first"][1]
    assert times["timed"][0] > max(times[name][1] for name in names if name != "timed")


def test_a_failing_page_is_named_and_the_good_one_kept(book, capfd):
    before = run_of(book)
    cell = "```{code-cell} ipython3\nwidth = 0\n1 / width\n```\n\n"
    write(book, "book/index.md", HEADER + "# Index\n\n" + PARAMETERS + cell + RUN)
    assert execute(book) == 1
    message = capfd.readouterr().err
    assert "index.md: code cell 2, `width = 0`: ZeroDivisionError: division by zero" in message
    assert "----> 2 1 / width" in message
    assert run_of(book) == before
    running = book / "_build" / "executed" / "index.running.ipynb"
    assert "ZeroDivisionError" in running.read_text()

    write(book, "book/index.md", HEADER + "# Index\n\n" + PARAMETERS + RUN)
    assert execute(book) == 0
    assert not running.exists()
    assert run_of(book) == before


def test_a_cell_without_end_is_an_error(book, monkeypatch, capfd):
    monkeypatch.setitem(build.CELL_TIMEOUT_S, "cpu", 2)
    cell = "```{code-cell} ipython3\nwhile True:\n    pass\n```\n\n"
    write(book, "book/index.md", HEADER + "# Index\n\n" + PARAMETERS + cell + RUN)
    assert execute(book) == 1
    assert "index.md: code cell 2, `while True:`: A cell timed out" in capfd.readouterr().err


def test_a_kernel_that_never_begins_does_not_hide_another_page(book, monkeypatch, capfd):
    write(book, "book/_toc.yml", "format: jb-book\nroot: index\nchapters: [{file: bad}]\n")
    write(book, "book/index.md", HEADER + "# Index, changed\n\n" + PARAMETERS + RUN)
    write(book, "book/bad.md", HEADER + "# Bad\n\nNothing to set.\n\n" + RUN)
    write(book, "data/ipykernel_launcher.py", "raise SystemExit(1)\n")
    monkeypatch.setenv("PYTHONPATH", str(book / "data"))
    assert execute(book) == 1
    message = capfd.readouterr().err
    assert "index.md: before its first code cell: Kernel died" in message
    assert "bad.md: no profile in a cell tagged `parameters`" in message


def test_a_second_build_at_once_changes_nothing(book, capfd):
    write(book, "book/index.md", HEADER + "# Index, changed\n\n" + PARAMETERS + RUN)
    before = run_of(book)
    with FileLock(book / "_build" / ".lock"):
        assert execute(book) == 1
    said = capfd.readouterr().err
    assert said == f"{book / '_build'}: another build is at work; wait for its end\n"
    assert run_of(book) == before
    shutil.rmtree(book / "_build")  # as `make clean` does
    assert execute(book) == 0
    assert run_of(book) != before


def test_a_parameter_that_the_page_does_not_have_is_an_error(book, capfd):
    write(book, "book/index.md", HEADER + "# Index\n\n" + PARAMETERS.replace("profile", "p") + RUN)
    assert execute(book) == 1
    assert "index.md: no profile in a cell tagged `parameters`" in capfd.readouterr().err


def test_a_warning_keeps_the_last_good_book(book, capfd):
    write(book, "_config.yml", "title: Tiny\nonly_build_toc_files: true\n")
    build.typeset(book)
    page = book / "_build" / "html" / "plain.html"
    before = page.read_text()
    assert "Plain" in before
    write(book, "book/plain.md", "# Changed\n\nSee {ref}`nowhere`.\n")
    assert execute(book) == 0
    with pytest.raises(build.BuildError, match="is kept"):
        build.typeset(book)
    assert "undefined label: 'nowhere'" in capfd.readouterr().err
    assert page.read_text() == before


def test_pages_that_measure_times_are_known():
    """By their own clock or through the package's."""
    pages = (build.source(build.ROOT, name) for name in build.page_names(build.ROOT))
    found = [page.stem for page in pages if build.measures_times(page)]
    assert sorted(found) == ["components", "datasets", "measuring"]
