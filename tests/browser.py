"""A browser without a window that says what a page shows, logs and asks the network for."""

import json
import shutil
import time
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
NEEDED = "the tests of pages need Chromium: apt-get install chromium chromium-driver"
OWN = ("file:", "data:", "blob:", "chrome:")
TOOLTIP = """
const shown = document.querySelector("#vg-tooltip-element.visible");
return shown ? shown.innerText : "";
"""


class Browser:
    """Opens files and looks at what is drawn."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path):
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(path.resolve().as_uri())

    def until(self, script, *arguments, seconds=20.0):
        """Run a script until it returns something true; return that."""
        end = time.monotonic() + seconds
        while not (found := self.run(script, *arguments)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)
        return found

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def width(self, pixels):
        """Take a screen of so many pixels across."""
        screen = {"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": pixels < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def hover(self, mark):
        """Point at a mark and return the text of the tooltip."""
        self.run("arguments[0].scrollIntoView({block: 'center'})", mark)
        ActionChains(self.driver).move_to_element(mark).perform()
        return self.until(TOOLTIP)

    def complaints(self):
        """Return what the console has logged since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Return the addresses that were asked for, but for files and what stands in the page.

        The empty page on which a browser starts is its own as well.
        """
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        assert any(address.startswith("file:") for address in asked)  # else nothing is watched
        return [one for one in asked if not one.startswith(OWN)]


@contextmanager
def running(profile):
    """Run a browser with a profile of its own in a fresh folder."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.fail(NEEDED, pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for switch in (*SWITCHES, "--window-size=1200,900", f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(started)
    finally:
        started.quit()
