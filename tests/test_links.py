"""Each link of the built book leads somewhere: inside it to a place that is there."""

import re
from urllib.parse import unquote, urlsplit

import build
import pytest
from bs4 import BeautifulSoup

PAGES = build.page_names(build.ROOT)
# Whether these answer is not asked: a test that needs the network fails without a reason.
OUTSIDE = {
    "https://creativecommons.org/licenses/by/4.0/",
    "https://doi.org/10.23915/distill.00003",
    "https://ffmpeg.org",
    "https://github.com/rimchang/RealBlur",
    "https://seungjunnah.github.io/Datasets/gopro",
}


@pytest.fixture(scope="module")
def pages(html):
    """Each page's links, and the names of places in it."""
    found = {}
    for path in html.glob("*.html"):
        soup = BeautifulSoup(path.read_text(), "html.parser")
        links = [a["href"] for a in soup.find_all("a", href=True)]
        found[path.resolve()] = links, {tag["id"] for tag in soup.find_all(id=True)}
    return found


def broken(pages, path):
    """The links of a page that lead nowhere inside the book, and those that lead out of it."""
    wrong, outside = [], set()
    for link in pages[path][0]:
        parts = urlsplit(link)
        if parts.scheme:
            outside.add(link)
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        place = not parts.fragment or target not in pages or parts.fragment in pages[target][1]
        if not (target.is_file() and place):
            wrong.append(link)
    return wrong, outside


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_book_lead_to_a_place(html, pages, page):
    path = (html / f"{page}.html").resolve()
    assert len(pages[path][0]) > len(PAGES)  # the list of chapters at least
    assert broken(pages, path)[0] == []


@pytest.mark.parametrize("page", PAGES)
def test_no_reference_and_no_formula_was_left_as_it_was_typed(html, page):
    """What a cell prints is not read for references and formulas: there they would stand as
    `{ref}` and between dollar signs. A box whose title has backticks is no box but its source."""
    read = BeautifulSoup((html / f"{page}.html").read_text(), "html.parser")
    for code in read.select("pre, code, script, .math"):
        code.decompose()
    assert re.findall(r"\{(?:ref|numref|eq|cite)\}|\$[^$\n]{1,60}\$|```", read.get_text()) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_formula_is_held_together_with_the_comma_behind_it(html, page):
    read = BeautifulSoup((html / f"{page}.html").read_text(), "html.parser")
    behind = [(of, str(of.next_sibling or "")[:1]) for of in read.select(".bd-article span.math")]
    for formula, sign in behind:
        assert sign not in {*")].,;:!?"} or "together" in formula.parent.get("class", [])


@pytest.mark.parametrize("page", PAGES)
def test_each_heading_of_a_page_became_one(html, page):
    source = (build.ROOT / f"book/{page}.md").read_text()
    code_left_out = re.sub(r"^```.*?^```$", "", source, flags=re.M | re.S)
    read = BeautifulSoup((html / f"{page}.html").read_text(), "html.parser")
    headings = read.select(".bd-article h1, .bd-article h2, .bd-article h3")
    assert len(headings) == len(re.findall("^#+ ", code_left_out, re.M))


def test_links_out_of_the_book_are_the_known_ones(pages):
    assert set.union(*(broken(pages, path)[1] for path in pages)) == OUTSIDE


def test_a_link_to_nowhere_is_found(html):
    here = (html / "index.html").resolve()
    links = ["none.html", "#none", "blur.html#none", "blur.html#blur", "https://example.org"]
    blur = {(html / "blur.html").resolve(): ([], {"blur"})}
    assert broken({here: (links, set()), **blur}, here) == (links[:3], {links[4]})
