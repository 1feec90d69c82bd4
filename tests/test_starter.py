"""Notebooks for those who build the network themselves: empty they fail, filled in they pass."""

import sys

import build
import nbformat
import pytest
import starter

PARTS = ["unet", "scm", "fam", "mise", "mosd", "aff", "network", "losses", "training"]
# Slips that a part's check must notice: what the solution has, and what it becomes.
SLIPS = {
    "unet": {"return blurred + self.head(d1)": "return self.head(d1)"},
    "scm": {"[photo, f]": "[f, photo]", "layer(f).relu()": "layer(f)"},
    "fam": {"x + self.conv(x * z)": "x + self.conv(x * z.sigmoid())"},
    "mise": {
        "B = B[..., ::2, ::2]": "B = B[..., 1::2, 1::2]",
        "x + two(one(x).relu())": "two(one(x).relu())",
        "self.blocks[k][1::2])": "self.blocks[k][1:2])",
        "return e": "return e[:2]",
    },
    "mosd": {
        "self.up[i](d[-1]).relu(), skip": "skip, self.up[i](d[-1]).relu()",
        "self.blocks[0](e3)": "self.blocks[0][0](e3)",
        "self.heads, d)][::-1]": "self.heads, d)][:0:-1]",
    },
    "aff": {'mode="nearest"': 'mode="bilinear"', "[..., ::2, ::2]": "[..., 1::2, 1::2]"},
    "network": {
        "e[0][..., ::2, ::2], e[1]": "e[0][..., 1::2, 1::2], e[1]",
        "self.encoder[i](x": "self.encoder[i][0](x",
        "self.head, d)][::-1]": "self.head, d)][:0:-1]",
    },
    "losses": {
        "z.imag.abs().mean()) / 2": "z.imag.abs().mean())",
        "torch.fft.fft2(": "torch.fft.rfft2(",
        "(r - s).abs().mean()": "(r - s).detach().abs().mean()",
    },
    "training": {".backward()": "", "optimizer.step()": "pass"},
}


@pytest.fixture(params=PARTS)
def part(request):
    """A part's name, its page, and the notebook made of it."""
    page = build.read_page(build.source(build.ROOT, request.param))
    return request.param, page, starter.starter(page, request.param)


def run(notebook, solution=None):
    """Run a notebook's cells, with `solution` in place of the skeleton if there is one."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    space = {"__name__": "notebook"}
    for source in [*code[:-2], solution or code[-2], code[-1]]:
        exec(compile(source, "notebook", "exec"), space)


def test_every_part_has_its_notebook():
    pages = [
        build.read_page(build.source(build.ROOT, name)) for name in build.page_names(build.ROOT)
    ]
    made = [starter.starter(page, "any") for page in pages]
    assert sum(m is not None for m in made) == len(PARTS)


def test_a_skeleton_waits_to_be_filled_in_and_shows_no_solution(part):
    _name, page, notebook = part
    with pytest.raises(NotImplementedError):
        run(notebook)
    (solution,) = starter.cells(page, "starter")
    bodies = [line.strip() for line in solution.splitlines() if "self." in line]
    shown = "\n".join(cell.source for cell in notebook.cells)
    assert not [line for line in bodies if line in shown]


def test_the_pages_solution_passes(part):
    _name, page, notebook = part
    (solution,) = starter.cells(page, "starter")
    run(notebook, solution)


# What notices a slip that is no wrong number: results are missing, or there is no gradient.
NOTICED_BY = {
    "return e": ValueError,
    "self.heads, d)][::-1]": ValueError,
    "self.head, d)][::-1]": ValueError,
    "(r - s).abs().mean()": RuntimeError,
}


@pytest.mark.parametrize("name,slip", [(name, old) for name in PARTS for old in SLIPS[name]])
def test_a_slip_is_noticed(name, slip):
    page = build.read_page(build.source(build.ROOT, name))
    (solution,) = starter.cells(page, "starter")
    assert slip in solution
    with pytest.raises(NOTICED_BY.get(slip, AssertionError)):
        run(starter.starter(page, name), solution.replace(slip, SLIPS[name][slip]))


def test_it_says_what_the_part_is_and_is_a_notebook(part):
    _name, _page, notebook = part
    nbformat.validate(notebook)
    words = notebook.cells[0].source
    assert words.startswith("# ") and starter.TASK in words
    assert "{admonition}" not in words and len(words) > 400


def test_a_notebook_that_is_there_stays(tmp_path, monkeypatch, capsys):
    (tmp_path / "scm.ipynb").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["starter.py", str(tmp_path)])
    assert starter.main() == 0
    assert (tmp_path / "scm.ipynb").read_text() == "mine"
    assert f"{tmp_path}/scm.ipynb: is there, and stays" in capsys.readouterr().out
    assert sorted(p.stem for p in tmp_path.iterdir()) == sorted(PARTS)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["starter.py", str(tmp_path / "file")])
    assert starter.main() == 2
    assert capsys.readouterr().err.count("\n") == 1
