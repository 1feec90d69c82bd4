"""What Sphinx leaves undone: in the head of a page, and between a formula and its comma."""

import html
import re

from docutils import nodes

# The search fetches each page that it finds to quote from it, which a browser forbids to a file.
NO_QUOTES_IN_FILES = (
    'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'
)


def drop_repeated_scripts(app, page, template, context, doctree):
    """Keep one of each inline script.

    Sphinx 7 writes those that extensions add before reading twice, and a second `const` of the
    same name is an error in the reader's console.
    """
    seen, kept = set(), []
    for script in context["script_files"]:
        body = getattr(script, "attributes", {}).get("body")
        if body is None or body not in seen:
            kept.append(script)
        seen.add(body)
    context["script_files"] = kept


def describe(app, page, template, context, doctree):
    """Give the page's first paragraph to search engines and link previews."""
    paragraph = next(doctree.findall(nodes.paragraph), None) if doctree else None
    if paragraph is not None:
        words = " ".join(paragraph.astext().split())
        text = html.escape(words[:300])
        context["metatags"] += f'<meta name="description" content="{text}" />\n'


def keep_punctuation(app, doctree, page):
    """Let no line break part a formula in the text from the bracket or comma that touches it.

    To a browser a typeset formula is a box, and lines may break on either side of a box.
    """
    for formula in list(doctree.findall(nodes.math)):
        parent, at = formula.parent, formula.parent.index(formula)
        before, after = parent[:at][-1:], parent[at + 1 :][:1]
        opening = re.search(r"[(\[]*$", before[0])[0] if _is_text(before) else ""
        closing = re.match(r"[)\].,;:!?]*", after[0])[0] if _is_text(after) else ""
        if not opening + closing:
            continue
        parts = nodes.Text(opening), formula.deepcopy(), nodes.Text(closing)
        parent[at] = nodes.inline("", "", *parts, classes=["together"])
        if closing:
            parent[at + 1] = nodes.Text(after[0][len(closing) :])
        if opening:
            parent[at - 1] = nodes.Text(before[0][: -len(opening)])


def _is_text(found):
    return bool(found) and isinstance(found[0], nodes.Text)


def setup(app):
    """Run after the theme and the other extensions have filled in the context."""
    app.connect("doctree-resolved", keep_punctuation)
    app.connect("html-page-context", drop_repeated_scripts, priority=900)
    app.connect("html-page-context", describe, priority=900)
    app.add_js_file(None, body=NO_QUOTES_IN_FILES)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
