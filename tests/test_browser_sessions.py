"""Sessions, what is forgotten of them, and who can read the page, in a real Chromium."""

from __future__ import annotations

import datetime
import threading
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import needs_browser, tried_twice
from gate import PATIENCE_S
from gradio import state_holder
from screen import (
    BEATS,
    ask,
    papers,
    pick,
    settled,
    take,
    visit,
)
from test_app import (
    EVIL_NAME,
    beats_mv,
    served,
    write_wfdb,
)

from ecgqa.page import parts
from ecgqa.page.desk import Drawn

pytestmark = [needs_browser, tried_twice]


@pytest.fixture
def desks(monkeypatch):
    """Every desk of the sessions that begin while a test runs, and the plain one they begin as."""
    made = []

    class Watched(parts.Desk):
        def __init__(self):
            self.emptied = threading.Event()
            super().__init__()
            self.emptied.clear()

        def __deepcopy__(self, memo):
            made.append(Watched())
            return made[-1]

        def clear(self):
            super().clear()
            self.emptied.set()

    monkeypatch.setattr(parts, "Desk", Watched)
    return made


def test_a_closed_page_is_forgotten_at_once(browser, desks):
    with served() as url:
        with visit(browser, url) as page:
            ask(page, "Is it regular?").wait_for()
            page.locator("#answers .rests").wait_for()
            (mine,) = (desk for desk in desks if desk.ecgs[0])
            assert mine.drawn.seen[0] and mine.answered
        assert mine.emptied.wait(PATIENCE_S), "gradio itself would keep it for an hour"
    assert mine.ecgs == [None, None] and mine.drawn == Drawn()
    assert mine.answered == []


@pytest.fixture
def pass_time(monkeypatch):
    """Moves the clock by which gradio forgets, and waits until it has looked for what is old.

    It stands still otherwise: how long a test takes does not count.
    """
    began, passed = datetime.datetime.now(), datetime.timedelta()
    looked, news = {}, threading.Condition()
    look = state_holder.StateHolder.delete_all_expired_state

    def noted(holder):
        now = passed
        look(holder)
        with news:
            looked[holder] = now
            news.notify_all()

    def onward(seconds):
        nonlocal passed
        passed += datetime.timedelta(seconds=seconds)
        with news:
            done = news.wait_for(lambda: set(looked.values()) == {passed}, PATIENCE_S)
        assert done, "gradio did not look"

    clock = SimpleNamespace(now=lambda: began + passed)
    monkeypatch.setattr(state_holder, "datetime", SimpleNamespace(datetime=clock))
    monkeypatch.setattr(state_holder.StateHolder, "delete_all_expired_state", noted)
    return onward


def test_recordings_are_forgotten_without_use_and_kept_while_they_are_used(
    browser, monkeypatch, pass_time
):
    monkeypatch.setattr(parts, "KEPT_S", 10)
    with served() as url, visit(browser, url) as page:
        take(page, "this", "one minute")
        papers(page, "one minute")
        slider = page.locator(".ecg-start input")
        for second in range(10, 50, 10):  # half a minute, and never ten seconds without use
            slider.fill(str(second))
            stretch = f"one minute, {second} to {second + 10} s"
            page.locator("#quality b").get_by_text(stretch).wait_for()
            settled(page)
            pass_time(7.5)
        assert "one minute, 40 to 50 s" in ask(page, "Is it kept here?").inner_text()
        page.locator("#answers .rests").wait_for()
        settled(page)
        pass_time(10.5)
        slider.fill("20")
        page.locator("[data-testid=toast-body]").get_by_text("There is no ECG here").wait_for()
        assert "Sorry" not in page.content()


def test_names_and_questions_are_text_and_never_run(page):
    page.locator("#status").get_by_text("Model ready").wait_for()
    pick(page, "this", EVIL_NAME)
    assert EVIL_NAME in ask(page, EVIL_NAME).inner_text()
    page.click("#depends")
    page.locator(".asked").get_by_text(EVIL_NAME).wait_for()
    assert page.evaluate("window.hacked") is None
    assert page.locator("#answers").get_by_text(EVIL_NAME).count() >= 2
    for part in ("#answers", "#quality", "#proof", "#paper"):
        assert page.locator(f"{part} :is(img[src=x], a[href*='a.b'])").count() == 0


def test_two_sessions_never_see_each_others_ecg(browser, url, tmp_path):
    with visit(browser, url) as mine, visit(browser, url) as theirs:
        files = write_wfdb(tmp_path, "mine_only", beats_mv(rr_s=1.0))
        mine.set_input_files("#this-upload input[type=file]", files)
        mine.locator("#quality b").get_by_text("mine_only").wait_for()
        assert "steady 75" in ask(theirs, "Whose is it?").inner_text()
        assert "mine_only" in ask(mine, "Whose is it?").inner_text()
        assert "mine_only" not in theirs.content()


@pytest.mark.parametrize(
    ("width", "theme"), [(1920, "light"), (1440, "dark"), (1024, "light"), (390, "light")]
)
def test_nothing_stands_in_the_way_of_assistive_technology(browser, url, width, theme):
    """axe-core, WCAG 2 A and AA and best practices: no violation, every part of the page open."""
    with visit(browser, url, width=width, query=f"?__theme={theme}") as page:
        pick(page, "other", "fast 100")
        ask(page, "Is it read aloud?").wait_for()
        page.locator("#answers .rests").last.wait_for()
        page.click("#depends")
        page.locator("#proof .verdict").wait_for()
        page.locator("#median button").first.click()
        page.locator(f"{BEATS}[data-geometry]").wait_for()
        page.locator("#measurements th", has_text="Change").wait_for()
        settled(page)
        found = Axe().run(page).response["violations"]
        assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found] == []
