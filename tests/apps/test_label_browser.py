"""A person at the labelling page, in a headless Chromium: ten pairs by keyboard, the server killed in between."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robo_rlft.data.labels import read_labels
from tests.commands.test_label import PATIENCE, Server, recorded, servers, there  # noqa: F401  # fixtures

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver (Debian's packages)"),
]
KEYS = {"left": "a", "right": "\ue014", "same": "s", "skip": "\ue013"}  # also the arrows right and up
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


@pytest.fixture
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


def wait(browser: Any, condition: Callable[[], Any]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, PATIENCE, poll_frequency=0.05).until(lambda _: condition())


def count(browser: Any) -> int:
    text = browser.find_element("id", "count").text
    return int(text.split(" ")[0]) if text else -1


def press(browser: Any, key: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(key).perform()


def test_ten_pairs_by_keyboard_through_a_killed_server(browser: Any, servers: list[Server]) -> None:  # noqa: F811
    servers.append(server := Server("questions=11", "repeat_every=0"))
    browser.get(server.url)
    wait(browser, lambda: count(browser) == 0)
    answers = ["left", "right", "same", "skip", "left", "right", "left", "same", "right", "left"]
    for number, answer in enumerate(answers, start=1):
        press(browser, KEYS[answer])
        wait(browser, lambda: count(browser) == number)  # noqa: B023  # waited for at once
        if number == 4:
            press(browser, "u")
            wait(browser, lambda: count(browser) == 3)
            press(browser, KEYS[answer])
            wait(browser, lambda: count(browser) == 4)
        if number == 6:
            server.kill()
            press(browser, KEYS["left"])
            wait(browser, lambda: "does not answer" in browser.find_element("id", "error").text)
            servers.append(server := Server("questions=11", "repeat_every=0"))
            browser.get(server.url)
            wait(browser, lambda: count(browser) == 6)
    assert [label.answer for label in read_labels(Path("labels")).labels] == answers
    press(browser, KEYS["same"])
    wait(browser, lambda: "All is answered" in browser.find_element("id", "title").text)
    assert server.process.wait(timeout=PATIENCE) == 0


def test_both_films_play_and_everything_fits_a_phone(browser: Any, servers: list[Server]) -> None:  # noqa: F811
    servers.append(server := Server())
    browser.get(server.url)
    playing = "return [...document.querySelectorAll('video')].filter(v => v.readyState > 2 && v.videoWidth > 0).length"
    wait(browser, lambda: browser.execute_script(playing) == 2)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) <= 0
    heights = "return [...document.querySelectorAll('#answers button')].map(b => b.getBoundingClientRect())"
    buttons = browser.execute_script(heights)
    assert all(box["height"] >= 44 for box in buttons)  # a finger's
    assert max(box["bottom"] for box in buttons) <= PHONE["height"]  # no scrolling to answer
    browser.find_elements("css selector", "#answers button")[2].click()
    wait(browser, lambda: count(browser) == 1)
    assert [label.answer for label in read_labels(Path("labels")).labels] == ["same"]
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
