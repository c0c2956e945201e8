"""A person at the asking page, in a headless Chromium: by key, by click, in two tabs, after a reload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from robo_rlft.apps.ask import AskError, AskPage, Choice
from tests.apps.browsers import MARKS, PHONE, boxes, browser, overflow, press, wait  # noqa: F401  # a fixture

pytestmark = MARKS
DONE = (Choice("yes", "done", "y"), Choice("no", "not done", "n"), Choice("skip", "can't tell", "x"))
READY = (Choice("ready", "ready", "Enter"), Choice("stop", "stop", "s"))
ENTER = "\ue007"
RED, BLUE = np.zeros((160, 80, 3), dtype=np.uint8), np.zeros((160, 80, 3), dtype=np.uint8)
RED[..., 0], BLUE[..., 2] = 255, 255


class Program:
    """What asks, in a thread of its own."""

    def __init__(self) -> None:
        self.page = AskPage()
        self._thread = ThreadPoolExecutor(max_workers=1)

    def ask(self, question: str, choices: Sequence[Choice] = DONE, **pictures: Any) -> Future[str]:
        return self._thread.submit(self.page.ask, question, choices, **pictures)

    def close(self) -> None:
        self.page.close()
        self._thread.shutdown()


@pytest.fixture
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


def text(browser: Any, name: str) -> str:  # noqa: F811
    shown: str = browser.find_element("id", name).text
    return shown


def see(browser: Any, question: str) -> None:  # noqa: F811
    """Wait until a question is asked and can be answered."""
    enabled = "return [...document.querySelectorAll('#answers button')].filter(b => !b.disabled).length"
    wait(browser, lambda: text(browser, "question") == question and browser.execute_script(enabled) > 0)


def test_questions_are_answered_by_key_and_by_click(browser: Any, program: Program) -> None:  # noqa: F811
    browser.get(program.page.url)
    wait(browser, lambda: "Nothing to answer" in text(browser, "question"))
    laid = program.ask("lay the table anew, then press Enter", READY)
    see(browser, "lay the table anew, then press Enter")
    press(browser, ENTER)
    assert laid.result(10.0) == "ready"
    done = program.ask("was it done: 'put the <b>red</b> block in the blue bowl'?")
    see(browser, "was it done: 'put the <b>red</b> block in the blue bowl'?")
    press(browser, "q")  # is no answer
    browser.find_elements("css selector", "#answers button")[1].click()
    assert done.result(10.0) == "no"
    again = program.ask("and now?")
    see(browser, "and now?")
    press(browser, "Y")
    assert again.result(10.0) == "yes"
    wait(browser, lambda: text(browser, "count") == "3 answered")
    listed = [one.text.split("\n") for one in browser.find_elements("css selector", "#recent li")]
    assert listed[0] == ["3. and now?", "done"] and listed[2][1] == "ready"
    stopped = program.ask("lay the table anew, then press Enter", READY)
    see(browser, "lay the table anew, then press Enter")
    browser.find_elements("css selector", "#answers button")[1].send_keys(ENTER)  # which presses what has the focus
    assert stopped.result(10.0) == "stop"
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


def test_a_second_press_does_not_answer_the_next_question(browser: Any, program: Program) -> None:  # noqa: F811
    browser.get(program.page.url)
    first, second = program.ask("first?"), program.ask("second?")  # comes as soon as the first is answered
    see(browser, "first?")
    answer_twice = """
        const press = () => document.dispatchEvent(new KeyboardEvent("keydown", {key: "y", bubbles: true}));
        const question = document.getElementById("question");
        const again = () => { if (question.textContent === "second?") { press(); window.again = true; } };
        new MutationObserver(again).observe(question, {childList: true});
        press(); press();"""
    browser.execute_script(answer_twice)
    see(browser, "second?")
    assert first.result(10.0) == "yes" and browser.execute_script("return window.again")
    assert not second.done() and text(browser, "count") == "1 answered"
    press(browser, "n")
    assert second.result(10.0) == "no"


def test_a_second_tab_and_a_reloaded_page_show_the_present_question(browser: Any, program: Program) -> None:  # noqa: F811
    first = program.ask("first?")
    browser.get(program.page.url)
    see(browser, "first?")
    tab = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(program.page.url)
    see(browser, "first?")
    press(browser, "y")
    assert first.result(10.0) == "yes"
    second = program.ask("second?")
    see(browser, "second?")
    browser.switch_to.window(tab)
    see(browser, "second?")
    browser.refresh()
    see(browser, "second?")
    press(browser, "x")
    assert second.result(10.0) == "skip"


def test_small_pictures_are_large_crisp_and_beside_each_other(browser: Any, program: Program) -> None:  # noqa: F811
    browser.get(program.page.url)
    program.ask("was it done?", pictures=[("before", RED), ("after", BLUE)])
    see(browser, "was it done?")
    loaded = "return [...document.images].filter(i => i.complete && i.naturalWidth === 80).length"
    wait(browser, lambda: browser.execute_script(loaded) == 2)
    assert [one.text for one in browser.find_elements("css selector", "figcaption")] == ["before", "after"]
    sizes = ({"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}, PHONE)
    for size in sizes:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert overflow(browser) <= 0
        before, after = boxes(browser, "img")
        assert before["top"] == after["top"] and before["right"] <= after["left"]
        assert before["height"] > 0.35 * size["height"]
        rendering = "return getComputedStyle(document.images[0]).imageRendering"
        assert browser.execute_script(rendering) == "pixelated"
        buttons = boxes(browser, "#answers button")
        assert all(box["height"] >= 44 for box in buttons)  # a finger's
        assert max(box["bottom"] for box in buttons) <= size["height"]  # no scrolling to answer


def test_the_page_says_that_the_program_has_ended(browser: Any, program: Program) -> None:  # noqa: F811
    browser.get(program.page.url)
    waiting = program.ask("was it done?")
    see(browser, "was it done?")
    program.close()
    with pytest.raises(AskError, match="closed"):
        waiting.result(10.0)
    wait(browser, lambda: "The program has ended" in text(browser, "error"))
    assert not any(one.is_enabled() for one in browser.find_elements("css selector", "#answers button"))
