"""Each page of the book as a notebook: executed smaller, by a reader who has downloaded it."""

import ast
import re
import subprocess
import symtable
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor, wait

import build
import pytest
from markdown_it import MarkdownIt

PAGES = build.page_names(build.ROOT)
# Both need a kernel, so they are dead in the rendered book, and they can hang the executor.
NEEDS_A_KERNEL = re.compile(r"\b(interact|interactive|interactive_output|Output)\(")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Kernels see what `pip install` lays down, and not the clone."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*wheel, "--wheel-dir", folder, build.ROOT], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as packed:
        packed.extractall(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        found = [sys.executable, "-c", "from mimo.data import DATA; print(DATA)"]
        data = subprocess.run(found, check=True, cwd=folder, capture_output=True, text=True).stdout
        assert data.startswith(str(folder / "mimo"))
        yield


@pytest.fixture(scope="module")
def executions(request, tmp_path_factory, installed):
    """The pages that are tested, each being executed with `smoke` in a folder of its own."""

    def execute(name):
        path = build.source(build.ROOT, name)
        if not build.has_code(build.read_page(path)):
            return build.read_page(path)
        folder = tmp_path_factory.mktemp(name)
        result = folder / "executed" / f"{name}.ipynb"
        return build.execute_page(path, result, {"profile": "smoke"}, cwd=folder)

    tested = (getattr(item, "callspec", None) for item in request.session.items)
    names = dict.fromkeys(spec.params["page"] for spec in tested if spec and "page" in spec.params)
    names = [name for name in names if name in PAGES]
    alone = [name for name in names if build.measures_times(build.source(build.ROOT, name))]
    with ThreadPoolExecutor(build.CORES) as pool:
        found = {}
        for name in alone:
            found[name] = pool.submit(execute, name)
            wait([found[name]])
        yield found | {name: pool.submit(execute, name) for name in names if name not in alone}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module", params=PAGES)
def page(request, executions):
    """A page, executed."""
    return executions[request.param].result()


def code_cells(page):
    """A page's cells with code."""
    return [cell for cell in page.cells if cell.cell_type == "code"]


def test_its_outputs_hold_no_error_and_no_warning(page):
    outputs = [output for cell in code_cells(page) for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []


def test_it_has_one_title(page):
    text = "\n\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")
    headings = [token for token in MarkdownIt().parse(text) if token.type == "heading_open"]
    assert [heading.tag for heading in headings].count("h1") == 1


def test_its_pictures_have_a_caption_and_a_description(page):
    def lacking(cell):
        settings = cell.metadata.get("mystnb", {})
        named = settings.get("figure", {}).get("caption") and settings.get("image", {}).get("alt")
        types = {kind for output in cell.outputs for kind in output.get("data", ())}
        shows = "figure" in settings or any(kind.startswith("image/") for kind in types)
        return shows and not named

    assert [cell.source for cell in code_cells(page) if lacking(cell)] == []


def test_nothing_on_it_needs_a_kernel(page):
    assert [c.source for c in code_cells(page) if NEEDS_A_KERNEL.search(c.source)] == []


def taken_by_loops(cells):
    """Names that a loop gives another meaning, and that a later cell reads all the same."""
    named, taken, found = set(), set(), set()
    for code in cells:
        scopes = [symtable.symtable(code, "cell", "exec")]
        top = scopes[0].get_symbols()
        bound = {s.get_name() for s in top if s.is_assigned() or s.is_imported()}
        for scope in scopes:  # grows
            scopes += scope.get_children()
        read = {s.get_name() for t in scopes for s in t.get_symbols() if s.is_global()}
        loops = [node for node in ast.parse(code).body if isinstance(node, ast.For)]
        names = [n for of in loops for n in ast.walk(of) if isinstance(n, ast.Name)]
        in_loops = bound & {n.id for n in names if isinstance(n.ctx, ast.Store)}
        found |= read & taken - bound
        taken = taken - bound | in_loops & named
        named |= bound - in_loops
    return found


def test_a_name_that_a_loop_takes_is_noticed():
    loop = "for side in (1, 2):\n    print(side)"
    assert taken_by_loops(["side = 64", loop, "print(side)"]) == {"side"}
    assert taken_by_loops(["side = 64", loop, "def f():\n    return side"]) == {"side"}
    assert taken_by_loops(["side = 64", "[side for side in (1, 2)]", "print(side)"]) == set()
    assert taken_by_loops(["side = 64", loop, "side = 3", "print(side)"]) == set()
    assert taken_by_loops(["from sides import side", loop, "print(side)"]) == {"side"}


@pytest.mark.parametrize("name", PAGES)
def test_no_loop_takes_a_name_that_is_read_later(name):
    cells = code_cells(build.read_page(build.source(build.ROOT, name)))
    assert taken_by_loops(cell.source for cell in cells) == set()


# The first page and those about the book itself have no exercises.
WITHOUT_EXERCISES = {"index", "status", "additions"}


@pytest.mark.parametrize(
    "name", [n for n in PAGES if build.has_code(build.read_page(build.source(build.ROOT, n)))]
)
def test_it_takes_two_parameters_and_asks_three_to_five_things(name):
    page = build.read_page(build.source(build.ROOT, name))
    assert build.parameter_defaults(page).keys() == {"profile", "seed"}
    words = "\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")
    exercises = re.findall(r"^\d\. .+", words.partition("## Exercises")[2], re.M)
    if name not in WITHOUT_EXERCISES:
        assert 3 <= len(exercises) <= 5
        assert any("predict, then run" in e.lower() for e in exercises) and any(
            "Code" in e for e in exercises
        )


def test_each_page_leads_to_the_next():
    """Up to the last page that is read in order: after it come the book's own pages."""
    chapters = PAGES[1 : PAGES.index("status") + 1]
    for name, following in zip(chapters, chapters[1:], strict=False):
        last = build.source(build.ROOT, name).read_text().rstrip().splitlines()[-1]
        assert last.startswith(f"Next: {{ref}}`{following}`"), (name, last)


def test_the_list_of_figures_has_each_of_them_once_and_in_order():
    listed = re.findall(
        r"\{numref\}`\{number\}\. \{name\} <(.+)>` \| \{ref\}`(.+)` \|",
        build.source(build.ROOT, "figures").read_text(),
    )
    drawn = [
        (cell.metadata["mystnb"]["figure"]["name"], name)
        for name in PAGES
        for cell in build.read_page(build.source(build.ROOT, name)).cells
        if "figure" in cell.metadata.get("mystnb", {})
    ]
    assert listed == drawn


def test_the_text_refers_to_each_figure_and_each_equation():
    names = [name for name in PAGES if name != "figures"]
    text = "\n".join(build.source(build.ROOT, name).read_text() for name in names)
    figures = re.findall(r"^    name: (fig-[\w-]+)$", text, re.MULTILINE)
    equations = re.findall(r"^\$\$ \((eq-[\w-]+)\)$", text, re.MULTILINE)
    assert len(figures) > 60 and len(equations) > 50
    assert [name for name in figures if f"{{numref}}`{name}`" not in text] == []
    assert [name for name in equations if f"{{eq}}`{name}`" not in text] == []
