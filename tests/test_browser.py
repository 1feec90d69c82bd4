"""What a reader of the built book meets, in a real browser that has no network."""

import base64
import io
import json

import build
import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from selenium.webdriver.support.wait import WebDriverWait

import mimo
from mimo.data import shake_test
from mimo.widgets import rounded

PAGES = build.page_names(build.ROOT)
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}

# Answers as soon as the page is there: loaded, formulas set, each widget drawn before the script
# that describes it, and nothing asked for during half a second.
SETTLED = """
const done = arguments[0], started = performance.now();
let asked = 0, since = started, formulas = !document.querySelector("script[src*=mathjax]");
const described = 'script[type="application/vnd.jupyter.widget-view+json"]';
const widgets = () => [...document.querySelectorAll(described)].every(
  (script) => script.previousElementSibling?.querySelector(":scope > * > *"));
(function look() {
  const now = performance.now(), count = performance.getEntriesByType("resource").length;
  if (count !== asked) [asked, since] = [count, now];
  window.MathJax?.startup?.promise?.then(() => { formulas = true; });
  const loaded = document.readyState === "complete";
  if (loaded && formulas && widgets() && now - since > 500) done(null);
  else if (now - started < 30000) setTimeout(look, 50);
  else done(JSON.stringify({ loaded, formulas, widgets: widgets() }));
})();
"""

# The WCAG contrast of each visible text of the page with what lies behind it, worst first, and
# the elements of the page's own text that are white whatever the theme.
COLOURS = """
const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = colour;
  pixel.fillRect(0, 0, 1, 1);
  return [...pixel.getImageData(0, 0, 1, 1).data];
};
const luminance = (colour) => rgba(colour).slice(0, 3).map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const style = (element) => getComputedStyle(element);
const behind = (element) => {
  while (element && rgba(style(element).backgroundColor)[3] < 255) element = element.parentElement;
  return element ? style(element).backgroundColor : "white";
};
const contrast = (element) => {
  const [a, b] = [style(element).color, behind(element)].map(luminance).sort((x, y) => x - y);
  return (b + 0.05) / (a + 0.05);
};
const seen = { opacityProperty: true, visibilityProperty: true };
const visible = (element) => element.checkVisibility(seen)
  && element.getBoundingClientRect().width > 1;
const texts = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (walker.currentNode.data.trim() && visible(element)) texts.add(element);
}
const name = (element) => `<${element.localName} class="${element.className}"> `
  + element.textContent.trim().slice(0, 40);
return {
  texts: [...texts].map((e) => [contrast(e), name(e)]).sort((a, b) => a[0] - b[0]),
  white: [...document.querySelectorAll(".bd-article *")].filter(visible)
    .filter((e) => rgba(style(e).backgroundColor).every((v) => v === 255)).map(name),
  body: contrast(document.body),
};
"""


def open_page(chrome, address, size="desktop", scheme="light"):
    """Open a page, wait until it is all there, and return what it did that it should not."""
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    preference = {"name": "prefers-color-scheme", "value": scheme}
    chrome.get("about:blank")
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preference]})
    for log in ("performance", "browser"):
        chrome.get_log(log)
    chrome.get(address)
    missing = chrome.execute_async_script(SETTLED)
    assert missing is None, f"{address} is not all there after 30 s: {missing}"
    return faults(chrome, origin=address.rpartition("/")[0])


def faults(chrome, origin):
    """Requests that left `origin` or failed, and errors in the console, since the last call."""
    found, asked = [], {}
    for entry in chrome.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        values = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            url = asked[values["requestId"]] = values["request"]["url"]
            if not url.startswith((f"{origin}/", "data:", "blob:")):
                found.append(f"asks for {url}")
        elif event["method"] == "Network.responseReceived":
            if values["response"]["status"] >= 400:
                found.append(f"{values['response']['status']} for {values['response']['url']}")
        elif event["method"] == "Network.loadingFailed":
            found.append(f"{values['errorText']} for {asked.get(values['requestId'])}")
    console = [entry for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]
    return found + [entry["message"] for entry in console]


def pixels(element):
    """A screenshot of an element."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"), float)


def change(before, after):
    """How far apart two screenshots of an element are, on average.

    One whose height is no whole number of pixels can come with a row more or less.
    """
    rows, columns = (min(sizes) for sizes in zip(before.shape[:2], after.shape[:2], strict=True))
    return abs(after[:rows, :columns] - before[:rows, :columns]).mean()


@pytest.mark.parametrize("origin", ["server", "file"])
@pytest.mark.parametrize("page", [*PAGES, "search", "genindex"])
def test_a_page_asks_nothing_of_the_network_and_reports_no_error(chromium, origins, page, origin):
    assert open_page(chromium, f"{origins[origin]}/{page}.html") == []


@pytest.mark.parametrize("origin", ["server", "file"])
def test_search_finds_a_page(chromium, origins, origin):
    assert open_page(chromium, f"{origins[origin]}/search.html?q=blur") == []
    links = chromium.find_elements(By.CSS_SELECTOR, "#search-results li a")
    assert any("/blur.html" in link.get_attribute("href") for link in links)


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_and_every_input_has_words(chromium, origins, page):
    open_page(chromium, f"{origins['server']}/{page}.html")
    nameless = """
    return [...document.querySelectorAll(".bd-article img, input:not([type=hidden])")]
      .filter((e) => e.localName === "img" ? !e.alt.trim() : !e.ariaLabel && !e.labels.length)
      .map((e) => e.outerHTML.slice(0, 200));
    """
    assert chromium.execute_script(nameless) == []


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_wider_than_a_phone(chromium, origins, page):
    open_page(chromium, f"{origins['server']}/{page}.html", size="phone")
    widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, window = chromium.execute_script(widths)
    assert content <= window == 390


# Formulas that have to be scrolled, or that stand out of their paragraph; and tables that have to.
CUT = """
const wide = (e) => e.scrollWidth > e.clientWidth + 1;
const out = (e) => e.getBoundingClientRect().right
  > e.parentElement.closest("p, li, dd").getBoundingClientRect().right + 2;
const all = (query) => [...document.querySelectorAll(".bd-article " + query)];
return {
  formulas: all("mjx-container[display=true]").filter(wide).map((e) => e.parentElement.id),
  inline: all(":is(p, li, dd) mjx-container:not([display=true])")
    .filter((e) => !e.closest("table") && out(e)).map((e) => e.textContent),
  tables: all(".pst-scrollable-table-container").filter(wide).map((e) => e.innerText.slice(0, 80)),
};
"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", PAGES)
def test_formulas_are_read_without_scrolling_and_on_a_desktop_tables_too(
    chromium, origins, page, size
):
    open_page(chromium, f"{origins['server']}/{page}.html", size=size)
    cut = chromium.execute_script(CUT)
    assert cut["formulas"] == [] and cut["inline"] == []
    assert size == "phone" or cut["tables"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_text_stands_out_by_day_and_by_night(chromium, origins, page, scheme):
    open_page(chromium, f"{origins['server']}/{page}.html", scheme=scheme)
    assert chromium.execute_script("return document.documentElement.dataset.theme") == scheme
    colours = chromium.execute_script(COLOURS)
    assert colours["body"] >= 4.5
    assert [text for text in colours["texts"] if text[0] < 4.5] == []
    if scheme == "dark":
        assert colours["white"] == []


# What paper cannot do: the luminance of text that is lost on white, code that scrolls, what waits
# to be opened or moved.
ON_PAPER = (
    COLOURS.partition("const seen")[0]
    + """
const shown = (selector) => [...document.querySelectorAll(`.bd-article ${selector}`)]
  .filter((e) => e.checkVisibility() && e.getBoundingClientRect().width > 1);
return {
  pale: shown("*").filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => 1.05 / (luminance(style(e).color) + 0.05) < 4.5).map((e) => e.outerHTML),
  cut: shown("pre").filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.innerText),
  closed: shown(".cell details:not([open])").length,
  sliders: shown("input[type=range]").length,
};
"""
)


@pytest.mark.parametrize("page", ["components", "network", "restore"])
def test_a_page_that_is_read_in_the_dark_can_be_printed(chromium, origins, page):
    open_page(chromium, f"{origins['server']}/{page}.html", scheme="dark")
    assert chromium.execute_script(ON_PAPER)["pale"] != []
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": [dark]})
    nothing = {"pale": [], "cut": [], "closed": 0, "sliders": 0}
    assert chromium.execute_script(ON_PAPER) == nothing
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_comparisons_follow_the_arrow_keys(chromium, origins):
    pages_with_one = set()
    for page in PAGES:
        open_page(chromium, f"{origins['file']}/{page}.html")
        for widget in chromium.find_elements(By.CSS_SELECTOR, ".mimo-compare"):
            pages_with_one.add(page)
            stage = widget.find_element(By.CSS_SELECTOR, ".stage")
            slider = widget.find_element(By.CSS_SELECTOR, "input[type=range]")
            # The edge between two pictures moves in any case; what counts is what it uncovers.
            chromium.execute_script(
                "arguments[0].style.setProperty('--edge', '-9px', 'important')", stage
            )
            before, at = pixels(stage), int(slider.get_property("value"))
            upwards = at < int(slider.get_property("max"))
            slider.send_keys((Keys.ARROW_RIGHT if upwards else Keys.ARROW_LEFT) * 25)
            assert int(slider.get_property("value")) != at
            assert change(before, pixels(stage)) > 0.2, slider.accessible_name
    assert "restore" in pages_with_one


FETCH = """
const done = arguments[1];
fetch(arguments[0]).then((r) => r.arrayBuffer())
  .then((b) => done(btoa(Array.from(new Uint8Array(b), (v) => String.fromCharCode(v)).join(""))));
"""


@pytest.mark.parametrize("origin", ["server", "file"])
def test_two_networks_run_in_the_page_and_give_what_they_give_here(
    chromium, origins, tmp_path, origin
):
    photo = next(iter(shake_test())).blurred[:101, :123]  # sides that are no multiples of 4
    Image.fromarray(photo).save(tmp_path / "photo.png")
    (tmp_path / "words.png").write_text("no photo")
    open_page(chromium, f"{origins[origin]}/restore.html", size="phone")
    widget = chromium.find_element(By.CSS_SELECTOR, ".mimo-restore")
    words = widget.find_element(By.CSS_SELECTOR, "output")
    choose = widget.find_element(By.CSS_SELECTOR, "input[type=file]")
    until = WebDriverWait(widget, 30).until

    choose.send_keys(str(tmp_path / "words.png"))
    until(lambda _: words.text == "words.png: not a photo that this browser can read.")
    choose.send_keys(str(tmp_path / "photo.png"))
    network = Select(widget.find_element(By.CSS_SELECTOR, "select"))
    for i, name in enumerate(("tiny", "small")):
        if i:
            network.select_by_index(i)  # which restores the photo again
        assert network.first_selected_option.text.startswith(name)
        until(lambda _: words.text.startswith("123 x 101 pixels; "))
        link = widget.find_element(By.CSS_SELECTOR, "a[download]")
        png = base64.b64decode(chromium.execute_async_script(FETCH, link.get_attribute("href")))
        restored = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)
        wanted = mimo.restore(photo, rounded(mimo.load(name, "cpu")))
        assert abs(restored - wanted).max() <= 1 and (restored != wanted).mean() < 1e-3
        assert abs(wanted - photo.astype(int)).mean() > 0.1  # it does something

    network.select_by_index(0)
    until(lambda _: words.text.startswith("123 x 101 pixels; "))
    widget.find_element(By.CSS_SELECTOR, "button").click()
    until(lambda _: words.text.startswith("320 x 320 pixels; "))
    assert faults(chromium, origins[origin]) == []


def test_linked_sliders_change_their_picture(chromium, origins):
    for page in PAGES:
        open_page(chromium, f"{origins['file']}/{page}.html")
        for area in chromium.find_elements(By.CSS_SELECTOR, ".widget-subarea"):
            for handle in area.find_elements(By.CSS_SELECTOR, ".noUi-handle"):
                # Of the widgets beside the slider: its own handle moves in any case.
                picture = area.find_element(
                    By.CSS_SELECTOR, ".widget-vbox > :not(:has(.noUi-handle))"
                )
                before = pixels(picture)
                handle.send_keys(Keys.ARROW_RIGHT)
                after = pixels(picture)
                assert before.shape != after.shape or abs(after - before).mean() > 0.2, page


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_it_is_and_is_light_enough(html, page):
    text = (html / f"{page}.html").read_text()
    assert '<html lang="en"' in text
    assert '<meta name="description" content="' in text
    assert len(text.encode()) <= 3_000_000


@pytest.mark.parametrize("page", PAGES)
def test_an_executed_page_is_there_to_download(html, page):
    source = html / "_sources" / f"{page}.ipynb"
    if build.has_code(build.read_page(build.source(build.ROOT, page))):
        assert f'href="_sources/{page}.ipynb"' in (html / f"{page}.html").read_text()
        assert "papermill" in json.loads(source.read_text())["metadata"]
