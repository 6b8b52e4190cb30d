"""The page in a browser: a picture chosen, classes shown, an error, a token, a narrow screen.

Needs Chromium and its driver, and selenium; it is skipped by name where they are missing.
"""

from __future__ import annotations

import shutil

import pytest
from serving import CLASSES, encoded, running, until, write_model

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="there is no Chromium with its driver"
)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, 360 pixels wide."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=360,900"):
        options.add_argument(word)
    found = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    size = {"width": 360, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    found.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield found
    found.quit()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two models, a picture, and a text."""
    folder = tmp_path_factory.mktemp("page")
    models = [folder / "first.onnx", folder / "second.onnx"]
    for seed, path in enumerate(models):
        write_model(path, seed)
    picture, text = folder / "noise.png", folder / "text.txt"
    picture.write_bytes(encoded())
    text.write_text("no picture")
    return models, picture, text


def test_the_page_in_a_browser(browser, files):
    models, picture, text = files

    def at(name):
        return browser.find_element("id", name)

    with running(*models) as (_, address):
        browser.get(f"http://{address}/")
        until(lambda: "first" in at("card").text)
        assert "62,006" in at("card").text and at("chooser").is_displayed()
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width == 360

        at("file").send_keys(str(picture))
        until(lambda: at("classes").text)
        names = [line for line in at("classes").text.splitlines() if line in CLASSES]
        assert len(names) == 5 and names[0] in at("status").text
        assert at("timings").is_displayed() and at("toggle").is_displayed()
        at("explain").send_keys(" ")  # by the keyboard
        until(lambda: at("heat").is_displayed())
        assert at("heat").get_attribute("src").startswith("data:image/png")

        at("file").send_keys(str(text))
        until(lambda: at("error").is_displayed())
        assert "send a picture" in at("error").text and not at("classes").text
        messages = [entry["message"] for entry in browser.get_log("browser")]
        assert all("415" in message for message in messages), messages


def test_a_page_that_asks_for_a_token(browser, files, monkeypatch):
    monkeypatch.setenv("MINIDL_TOKEN", "secret")
    with running(files[0][0]) as (_, address):
        browser.get(f"http://{address}/")
        field = browser.find_element("id", "token")
        until(field.is_displayed)
        field.send_keys("secret\n")
        until(lambda: "first" in browser.find_element("id", "card").text)
        assert not field.is_displayed()
