"""A person at the labelling page, in a headless Chromium: ten pairs by keyboard, the server killed in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robo_rlft.data.labels import read_labels
from tests.apps.browsers import MARKS, PHONE, boxes, browser, overflow, press, wait  # noqa: F401  # a fixture
from tests.commands.test_label import Server, recorded, servers, there  # noqa: F401  # fixtures

pytestmark = MARKS
KEYS = {"left": "a", "right": "\ue014", "same": "s", "skip": "\ue013"}  # also the arrows right and up


def count(browser: Any) -> int:  # noqa: F811
    text = browser.find_element("id", "count").text
    return int(text.split(" ")[0]) if text else -1


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
    assert server.process.wait(timeout=30.0) == 0


def test_both_films_play_and_everything_fits_a_phone(browser: Any, servers: list[Server]) -> None:  # noqa: F811
    servers.append(server := Server())
    browser.get(server.url)
    playing = "return [...document.querySelectorAll('video')].filter(v => v.readyState > 2 && v.videoWidth > 0).length"
    wait(browser, lambda: browser.execute_script(playing) == 2)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    assert overflow(browser) <= 0
    buttons = boxes(browser, "#answers button")
    assert all(box["height"] >= 44 for box in buttons)  # a finger's
    assert max(box["bottom"] for box in buttons) <= PHONE["height"]  # no scrolling to answer
    browser.find_elements("css selector", "#answers button")[2].click()
    wait(browser, lambda: count(browser) == 1)
    assert [label.answer for label in read_labels(Path("labels")).labels] == ["same"]
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
