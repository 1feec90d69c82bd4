"""Write a notebook for each part of the network that a reader can build without looking at ours.

    python book/starter.py [FOLDER]

A notebook is made of its page's own cells: what the page says about the part, the classes of the
page's solution without their bodies, and the page's check. One that is there already stays.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

import nbformat
from build import ROOT, page_names, read_page, source

BOX = re.compile(r"```\{admonition\} Rebuild it: (.+)\n(?::class: .+\n)?\n*((?:.*\n)*?)```")
TASK = (
    "Fill in what raises `NotImplementedError`. The last cell stops where something is wrong. "
    "If it has `copy_weights`, your part gets the parameters of ours one by one, in the order in "
    "which they were made: make them in the order that the class gives, or else this list, and "
    "within a part in the order in which data pass them."
)


def cells(page: nbformat.NotebookNode, tag: str) -> list[str]:
    """The code of a page's cells with a tag."""
    return [c.source for c in page.cells if tag in c.metadata.get("tags", ())]


def skeleton(solution: str) -> str:
    """The classes and functions of a solution: names, arguments, docstrings, and no bodies."""

    class Empty(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
            node.body = [
                *(node.body[:1] if ast.get_docstring(node) else []),
                ast.parse("raise NotImplementedError").body[0],
            ]
            return node

    return ast.unparse(Empty().visit(ast.parse(solution))).replace("\n\ndef", "\n\n\ndef")


def starter(page: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode | None:
    """The notebook of a page; None if the page has no part to build."""
    solutions = cells(page, "starter")
    if not solutions:
        return None
    text = "\n\n".join(c.source for c in page.cells if c.cell_type == "markdown")
    title = re.search(r"^# (.+)", text, re.M)
    box = BOX.search(text)
    words = f"# {title[1]}\n\n{box[2] if box else f'The page `book/{name}.md` says how.'}"
    new = nbformat.v4
    return new.new_notebook(
        cells=[
            new.new_markdown_cell(f"{words}\n\n{TASK}"),
            *(new.new_code_cell(code) for code in cells(page, "parameters")),
            *(new.new_code_cell(code) for code in cells(page, "hide-input")[:1]),
            *(new.new_code_cell(skeleton(code)) for code in solutions),
            *(new.new_code_cell(code) for code in cells(page, "starter-check")),
        ],
        metadata={"kernelspec": page.metadata["kernelspec"]},
    )


def main() -> int:
    """Write what is missing of the folder; say what was there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "starter")
    folder = parser.parse_args().folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in page_names(ROOT):
            notebook = starter(read_page(source(ROOT, name)), name)
            if notebook is None:
                continue
            path = folder / f"{name}.ipynb"
            if path.exists():
                print(f"{path}: is there, and stays")
            else:
                nbformat.write(notebook, path)
                print(path)
    except OSError as error:
        print(f"{folder}: can't be written ({error.strerror})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
