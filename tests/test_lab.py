"""A page opened in JupyterLab as `make lab` does, run there from top to bottom."""

import json
import os
import re
import subprocess
import sys
import time

import build
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_browser import pixels

PANEL = "window.jupyterapp?.shell.currentWidget"
KERNEL = f"{PANEL}?.sessionContext?.session?.kernel?.status"
# Whether every cell with code has been run, and nothing is running any more.
FINISHED = f"""
const code = [...{PANEL}.content.model.cells].filter((cell) => cell.type === "code");
return {KERNEL} === "idle" && code.every((cell) => cell.executionCount);
"""
OUTPUTS = f"""
const cells = [...{PANEL}.content.model.cells];
return JSON.stringify(cells.flatMap((cell) => cell.outputs?.toJSON() ?? []));
"""


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab on the folder of the pages."""
    log = tmp_path / "lab.log"
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--IdentityProvider.token="]
    command += ["--LabApp.expose_app_in_browser=True", f"--LabApp.workspaces_dir={tmp_path}"]
    settings = {"JUPYTER_CONFIG_PATH": str(build.ROOT / "book" / "_lab")}
    with log.open("w") as file:
        server = subprocess.Popen(
            command, env=os.environ | settings, stderr=file, cwd=build.ROOT / "book"
        )
        try:
            for _ in range(60):
                if found := re.search(r"http://127\S+?(?=/lab)", log.read_text()):
                    break
                time.sleep(1)
            yield found[0]
        finally:
            server.terminate()
            server.wait(20)


def test_a_page_runs_in_jupyterlab_and_its_slider_moves(chromium, lab):
    chromium.get(f"{lab}/lab/tree/index.md")
    wait = WebDriverWait(chromium, 90)
    wait.until(lambda b: b.execute_script(f"return {KERNEL} === 'idle'"))
    chromium.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    wait.until(lambda b: b.execute_script(FINISHED))
    outputs = json.loads(chromium.execute_script(OUTPUTS))
    assert outputs and [o for o in outputs if o["output_type"] == "error"] == []
    widget = wait.until(lambda b: b.find_element(By.CSS_SELECTOR, ".mimo-compare"))
    chromium.execute_script("arguments[0].scrollIntoView()", widget)
    stage = widget.find_element(By.CSS_SELECTOR, ".stage")
    wait.until(lambda b: pixels(stage).std() > 10)  # the pictures are drawn
    before = pixels(stage)
    slider = widget.find_element(By.CSS_SELECTOR, "input")
    slider.click()
    slider.send_keys(Keys.ARROW_RIGHT * 25)
    assert int(slider.get_property("value")) == 75
    assert abs(pixels(stage) - before).mean() > 0.2
