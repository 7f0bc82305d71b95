"""The page in a real Chromium, one test per requirement of the screen (P1 to P13)."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import threading
import time
from types import SimpleNamespace
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import needs_browser, tried_twice
from gate import PATIENCE_S
from gradio import state_holder
from pypdf import PdfReader
from test_app import (
    EVIL_NAME,
    FakeAssistant,
    FakeGallery,
    beats_mv,
    served,
    served_as_command,
    write_wfdb,
)

from ecgqa import INTENDED_USE
from ecgqa.page import looking, parts, wiring
from ecgqa.page.desk import Drawn
from ecgqa.record import LEADS, EcgFileError

pytestmark = [needs_browser, tried_twice]

STRIPS, BEATS = "#paper canvas.ecg-canvas", "#beats canvas.ecg-canvas"
# Where gradio takes files; where it takes files or events, and answers these.
UPLOAD, EVENT = re.compile(r"/upload\?"), re.compile(r"/upload\?|/queue/")
STREAM = "/queue/data"
# gradio's page may open the stream of answers once more when all events have ended: then it stays
# open and says nothing. So the events are counted that the server took and those that it ended.
COUNT_EVENTS = """(() => {
    const begun = new Set(), ended = new Set(), ask = window.fetch;
    const listen = async (body) => {
        const reader = body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
            const messages = (text + part.value).split("\\n\\n");
            text = messages.pop();
            for (const message of messages) {
                const said = JSON.parse(message.replace(/^data: */, ""));
                if (said.msg === "process_completed") ended.add(said.event_id);
            }
        }
    };
    window.fetch = async (...given) => {
        const answer = await ask(...given), url = String(given[0].url ?? given[0]);
        if (url.includes("/queue/join") && answer.ok)
            begun.add((await answer.clone().json()).event_id);
        if (url.includes("/queue/data") && answer.ok)
            listen(answer.clone().body).catch(() => {});  // closed by the page: all have ended
        return answer;
    };
    window.eventsUnderWay = () => [...begun].some((event) => !ended.has(event));
})()"""


class Watch:
    """What a page does that it should not do, and which of its events are under way."""

    def __init__(self, page, url):
        self._page = page
        self.faults, self._begun, self._under_way = [], 0, set()
        page.add_init_script(COUNT_EVENTS)
        page.route(re.compile(f"^(?!{re.escape(url)}|data:|blob:)"), self._refuse)
        page.on("console", lambda said: said.type == "error" and self.faults.append(said.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self._begin)
        for ended in ("requestfinished", "requestfailed"):
            page.on(ended, lambda request: self._under_way.discard(request))

    def _refuse(self, route):
        self.faults.append(f"asked another machine: {route.request.url}")
        route.abort()

    def _begin(self, request):
        if EVENT.search(request.url):
            self._begun += 1
            self._under_way.add(request)

    def events(self):
        """How many there were, and whether one is still under way."""
        streams = {request for request in self._under_way if STREAM in request.url}
        busy = bool(self._under_way - streams)
        return self._begun, busy or (bool(streams) and self._page.evaluate("eventsUnderWay()"))

    def check(self):
        """Fail for what the page did since the last time that it should not do."""
        faults, self.faults = self.faults, []
        assert faults == [], "errors on the browser's console, or requests to another machine"


WATCHES: WeakKeyDictionary = WeakKeyDictionary()  # of each page


@contextlib.contextmanager
def opened(browser, url, width=1280, ratio=1, query="", **settings):
    """A page that may talk to this machine only, watched."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, device_scale_factor=ratio, **settings
    )
    try:
        page = context.new_page()
        page.set_default_timeout(30_000)
        watch = WATCHES[page] = Watch(page, url)
        # The driver asks the browser to hand over file dialogs when a first listener comes, and
        # does not wait for it: asked for just before a key is pressed, it may come too late.
        page.on("filechooser", lambda _: None)
        try:
            page.goto(url + query)
            page.wait_for_selector(f"{STRIPS}[data-geometry]")
            stand_still(page)
            yield page
        except Exception as error:
            for fault in watch.faults:
                error.add_note(f"On the page: {fault}")
            raise
    finally:
        context.close()


@contextlib.contextmanager
def visit(browser, url, **settings):
    """A page of its own for one test: a request to another machine or a console error fails it."""
    with opened(browser, url, **settings) as page:
        yield page
        page.wait_for_function("true")  # what the browser said before this has now been heard
        WATCHES[page].check()


def stand_still(page):
    """Wait until nothing is on its way and the papers stay where they are for ten frames.

    The mouse goes to places that are read before: on a page that still moves it misses.
    """
    page.wait_for_function("() => !document.querySelector('.pending')")
    page.wait_for_function(
        """(selector) => new Promise((done) => {
            let before = "", frames = 0;
            const look = () => {
                const now = [...document.querySelectorAll(selector)].map((canvas) => {
                    const { x, y, width, height } = canvas.getBoundingClientRect();
                    return [x + scrollX, y + scrollY, width, height].join();
                }).join(";");
                frames = now === before ? frames + 1 : 0;
                before = now;
                if (frames >= 10) done(true); else requestAnimationFrame(look);
            };
            look();
        })""",
        arg=STRIPS,
    )


def settled(page):
    """Wait until every event has ended and, for ten frames, none has followed from it."""
    until = time.monotonic() + PATIENCE_S
    before = None
    while (now := WATCHES[page].events()) != before or now[1]:
        assert time.monotonic() < until, "an event never ended"
        before = now
        stand_still(page)


class SharedPage:
    """A page that many tests use one after the other: loading it anew takes seconds.

    After a test that failed the next one gets a new page: one failure stays one failure.
    """

    def __init__(self, browser, url):
        self._browser, self._url = browser, url
        self._open, self._page = contextlib.ExitStack(), None

    def lend(self):
        """The page of the test before, or a new one."""
        if self._page is None:
            self.close()
            self._page = self._open.enter_context(opened(self._browser, self._url))
        return self._page

    def take_back(self, failed):
        """Report what the page did that it should not do, while it is clear in which test."""
        page, self._page = self._page, None
        if failed:
            self.close()
        else:
            settled(page)
        WATCHES[page].check()
        self._page = None if failed else page

    def close(self):
        """Leave the page, if there is one."""
        self._open.close()


@pytest.fixture(scope="module")
def desk(browser, url):
    with contextlib.closing(SharedPage(browser, url)) as shared:
        yield shared


@pytest.fixture
def lent(desk, failed):
    yield desk.lend()
    desk.take_back(failed())


@pytest.fixture
def page(lent):
    """The page of a desk computer as it opens, the model ready."""
    lent.locator("#status").get_by_text("Model ready").wait_for()
    for name, value in (
        ("layout", "3x4"), ("speed", "25"), ("gain", "10"), ("rhythm", "II"), ("compare", "auto"),
    ):  # fmt: skip
        lent.evaluate(
            """([name, value]) => { const s = document.querySelector(`#paper select[name=${name}]`);
            s.value = value; s.dispatchEvent(new Event("change")); }""",
            [name, value],
        )
    for button in ("cabrera", "march"):
        pressed = lent.locator(f"#paper button[name={button}]")
        if pressed.get_attribute("aria-pressed") == "true":
            pressed.click()
    # What an earlier test was told lies over the boxes.
    lent.evaluate("document.querySelectorAll('.toast-close').forEach((button) => button.click())")
    lent.locator(".toast-body").first.wait_for(state="detached")
    if lent.locator("#quality b").count() > 1:
        pick(lent, "other", "None")
        lent.locator("#quality b").nth(1).wait_for(state="detached")
    if lent.locator("#quality b").all_inner_texts() != ["steady 75"]:
        pick(lent, "this", "steady 75")
    settled(lent)
    return lent


def geometry(page, canvas=STRIPS, nth=0):
    return json.loads(page.locator(canvas).nth(nth).get_attribute("data-geometry"))


def take(page, slot, name):
    """Choose a recording of the gallery without waiting for it."""
    page.click(f"#{slot}-pick input")
    # Only in this box: the list of the other one may be closing.
    page.locator(f"#{slot}-pick").get_by_role("option", name=name, exact=True).click()


def pick(page, slot, name):
    """Choose a recording of the gallery and wait until its quality line is there."""
    take(page, slot, name)
    if name != "None":
        line = page.locator("#quality b")  # the comparison comes first
        (line.last if slot == "this" else line.first).get_by_text(name).wait_for()


def choose(page, name, value, paper="#paper"):
    page.locator(f"{paper} select[name={name}]").select_option(value)


def drag(page, canvas, start, end):
    box = page.locator(canvas).first.bounding_box()
    page.mouse.move(box["x"] + start[0], box["y"] + start[1])
    page.mouse.down()
    page.mouse.move(box["x"] + (start[0] + end[0]) / 2, box["y"] + (start[1] + end[1]) / 2)
    page.mouse.move(box["x"] + end[0], box["y"] + end[1])
    page.mouse.up()


def over_the_pulse(page):
    """Drag the caliper from the pulse's lower left to its upper right corner; read ms and mV."""
    page.locator(STRIPS).first.scroll_into_view_if_needed()
    stand_still(page)
    drawn = geometry(page)
    px, pulse = drawn["pxPerMm"], drawn["pulses"][0]
    end = (pulse["x"] + 0.2 * drawn["speed"] * px, pulse["y"] - drawn["gain"] * px)
    drag(page, STRIPS, (pulse["x"], pulse["y"]), end)
    readout = page.locator("#paper output")
    return float(readout.get_attribute("data-ms")), float(readout.get_attribute("data-mv"))


def ask(page, text):
    """Ask; returns where the line under the new answer will stand."""
    before = page.locator(".provenance").count()
    page.fill("#question textarea", text)
    page.click("#ask")
    return page.locator(".provenance").nth(before)


@contextlib.contextmanager
def requests_of(page):
    """Every request that the page makes from here to the end, also what follows a bit later."""
    asked = []

    def note(request):
        asked.append(request)

    page.on("request", note)
    try:
        yield asked
        settled(page)
    finally:
        page.remove_listener("request", note)


@pytest.fixture
def step():
    """Each release lets `FakeAssistant` say a word; at the end it may say all that it has left."""
    made = threading.Semaphore(0)
    yield made
    made.release(1000)


def lines_of(page, axis):
    """Where the 5 mm lines cross one edge of the canvas, in device pixels, by their colour."""
    script = """([selector, axis]) => {
        const canvas = document.querySelector(selector);
        const long = axis === "x" ? canvas.width : canvas.height;
        const ctx = canvas.getContext("2d");
        const strip = axis === "x"
            ? ctx.getImageData(0, 2, long, 1).data : ctx.getImageData(2, 0, 1, long).data;
        const found = [];
        for (let i = 0; i < long; i += 1)
            if (strip[4 * i] === 0xee && strip[4 * i + 1] === 0xba && strip[4 * i + 2] === 0xb6)
                found.push(i);
        return found;
    }"""
    found = page.evaluate(script, [STRIPS, axis])
    return [line for line in found if line - 1 not in found]


def ink_at(page, x, y, reach=1):
    """True where the canvas is dark within `reach` CSS pixels of (x, y)."""
    script = """([selector, x, y, reach]) => {
        const canvas = document.querySelector(selector);
        const r = canvas.width / canvas.getBoundingClientRect().width;
        const wide = Math.ceil((2 * reach + 1) * r);
        const data = canvas.getContext("2d").getImageData(
            Math.round((x - reach) * r), Math.round((y - reach) * r), wide, wide).data;
        for (let i = 0; i < data.length; i += 4) if (data[i] + data[i + 1] < 240) return true;
        return false;
    }"""
    return page.evaluate(script, [STRIPS, x, y, reach])


def highest_ink(page, x, top, bottom):
    """The uppermost dark pixel within a pixel of x, between top and bottom (CSS pixels)."""
    script = """([selector, x, top, bottom]) => {
        const canvas = document.querySelector(selector);
        const r = canvas.width / canvas.getBoundingClientRect().width;
        const [wide, high] = [Math.ceil(3 * r), Math.ceil((bottom - top) * r)];
        const data = canvas.getContext("2d").getImageData(
            Math.round((x - 1) * r), Math.round(top * r), wide, high).data;
        for (let i = 0; i < data.length; i += 4)
            if (data[i] + data[i + 1] < 240) return top + Math.floor(i / 4 / wide) / r;
        return bottom;
    }"""
    return page.evaluate(script, [STRIPS, x, top, bottom])


# ------------------------------------------------------------------------------ P1 to P5: the paper


def test_p1_and_p13_paper_before_the_model_and_progress_while_it_loads(browser, gate):
    def slow(progress):
        progress("Reading the language model", 0.4)
        gate.stop()
        return FakeAssistant()

    with served(slow) as url, visit(browser, url) as page:
        gate.reached()
        page.locator("#status").get_by_text("Reading the language model").wait_for()
        assert page.locator("#status progress").get_attribute("value") == "0.400"
        pick(page, "this", "fast 100")
        page.locator("table.measured td").get_by_text("100", exact=True).first.wait_for()
        ask(page, "Is it regular?")
        page.locator("#answers").get_by_text("Waiting for the model").wait_for()
        gate.open()
        page.locator("#answers").get_by_text("yes, this is an answer").wait_for()
        page.locator("#status").get_by_text("Model ready").wait_for()


def sharp_boxes_of_equal_size(page, ratio):
    drawn = geometry(page)
    box = 5 * drawn["pxPerMm"] * ratio
    assert box == pytest.approx(round(box)) and drawn["fineGrid"]
    for axis in ("x", "y"):
        whole = lines_of(page, axis)[1:]  # the edge of the canvas cuts the first line
        assert len(whole) > 15 and set(np.diff(whole)) == {round(box)}


def test_p2_one_scale_for_both_axes_and_sharp_boxes_of_equal_size(page):
    sharp_boxes_of_equal_size(page, 1)
    pick(page, "other", "fast 100")
    page.locator(STRIPS).nth(1).wait_for()
    small = geometry(page)
    assert small["pxPerMm"] < 3 and not small["fineGrid"]


def test_p3_layouts_have_consecutive_columns_and_a_pulse_in_every_row(page):
    for layout, rows, columns in (("3x4", 4, 4), ("6x2", 6, 2), ("12x1", 12, 1)):
        choose(page, "layout", layout)
        drawn = geometry(page)
        assert drawn["layout"] == layout and len(drawn["pulses"]) == rows
        strips = {strip["lead"]: strip for strip in drawn["strips"][:12]}
        assert set(strips) == set(LEADS)
        starts = sorted({strip["start_s"] for strip in strips.values()})
        assert starts == [column * 10 / columns for column in range(columns)]
        for strip in strips.values():
            expected = min(s["x"] for s in strips.values()) + (
                strip["start_s"] * 25 * drawn["pxPerMm"]
            )
            assert strip["x"] == pytest.approx(expected)
    choose(page, "layout", "3x4")
    choose(page, "rhythm", "V1")
    assert geometry(page)["strips"][12]["lead"] == "V1"
    page.click("#paper button[name=cabrera]")
    order = [strip["lead"] for strip in geometry(page)["strips"][:6]]
    assert order == ["aVL", "I", "-aVR", "II", "aVF", "III"]


def test_p3_every_beat_is_drawn_where_its_time_and_voltage_say(page):
    """R of lead II stands at 0.3, 1.1, ... s: its tip is at that millimetre, within 0.3 mm."""
    choose(page, "layout", "6x2")
    for gain in ("5", "10"):
        choose(page, "gain", gain)
        drawn = geometry(page)
        px = drawn["pxPerMm"]
        strip = next(strip for strip in drawn["strips"] if strip["lead"] == "II")
        high_mm = float(beats_mv()[1].max()) * drawn["gain"]
        for beat in range(6):
            x = strip["x"] + (0.3 + 0.8 * beat) * drawn["speed"] * px
            tip = highest_ink(page, x, strip["y"] - (high_mm + 3) * px, strip["y"])
            assert (strip["y"] - tip) / px == pytest.approx(high_mm, abs=0.3)


def test_p3_a_missing_lead_is_an_empty_labelled_row(page):
    pick(page, "this", "V3 missing")
    drawn = geometry(page)
    strips = {strip["lead"]: strip for strip in drawn["strips"]}
    full = [
        sum(
            ink_at(page, strips[lead]["x"] + mm * drawn["pxPerMm"], strips[lead]["y"], 2)
            for mm in range(10, 60, 5)
        )
        for lead in ("V2", "V3")
    ]
    assert full[0] >= 8 and full[1] == 0
    page.locator("#quality").get_by_text("Missing: V3").wait_for()


def test_p4_speed_and_gain_change_without_asking_the_server(page):
    page.locator("#status").get_by_text("Model ready").wait_for()
    page.locator("table.measured td").get_by_text("75", exact=True).first.wait_for()
    before = geometry(page)
    with requests_of(page) as asked:
        choose(page, "speed", "50")
        choose(page, "gain", "20")
        after = geometry(page)
    assert (after["speed"], after["gain"]) == (50, 20)
    assert after["pxPerMm"] == before["pxPerMm"]
    assert after["off"] != [] and before["off"] == []
    assert "neighbouring rows" in page.locator("#paper figcaption").inner_text()
    assert [request.url for request in asked] == []


def measure_the_pulse_everywhere(page):
    for layout in ("3x4", "6x2", "12x1"):
        choose(page, "layout", layout)
        for speed in ("25", "50"):
            for gain in ("5", "10", "20"):
                choose(page, "speed", speed)
                choose(page, "gain", gain)
                ms, mv = over_the_pulse(page)
                assert ms == pytest.approx(200, abs=4), (layout, speed, gain)
                assert mv == pytest.approx(1.0, abs=0.03), (layout, speed, gain)


def test_p5_caliper_over_the_calibration_pulse_reads_200_ms_and_1_mv(page):
    measure_the_pulse_everywhere(page)


def test_p2_and_p5_hold_on_a_screen_with_two_device_pixels_per_pixel(browser, url):
    with visit(browser, url, ratio=2) as page:
        sharp_boxes_of_equal_size(page, 2)
        measure_the_pulse_everywhere(page)


def test_p5_the_pulse_on_the_canvas_is_where_the_caliper_measures(page):
    """The corners of the drawn pulse are dark pixels: geometry and drawing agree."""
    drawn = geometry(page)
    px = drawn["pxPerMm"]
    for pulse in drawn["pulses"]:
        top = pulse["y"] - drawn["gain"] * px
        for x in (pulse["x"], pulse["x"] + 0.2 * drawn["speed"] * px):
            assert ink_at(page, x, top) and ink_at(page, x, (top + pulse["y"]) / 2)
            assert not ink_at(page, x, top - 2 * px)


def test_p5_calipers_speak_march_and_clear_by_keyboard(page):
    readout = page.locator("#paper output")
    assert readout.get_attribute("aria-live") == "polite"
    over_the_pulse(page)
    assert readout.inner_text() == "200 ms · 300 per min · 1.00 mV"
    page.locator("#paper canvas.ecg-caliper").focus()
    page.keyboard.press("t")
    assert "mV" not in readout.inner_text()
    page.keyboard.press("m")
    assert page.locator("#paper button[name=march]").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert readout.inner_text() == "Drag to measure"
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    assert readout.inner_text().startswith("800 ms · 75 per min")


# ------------------------------------------------------------------------------ P6 to P9


def test_p6_two_ecgs_side_by_side_stacked_and_overlaid(page):
    pick(page, "other", "fast 100")
    page.locator(STRIPS).nth(1).wait_for()
    settled(page)
    boxes = [page.locator("#paper .ecg-sheet").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]
    labels = [page.locator(STRIPS).nth(i).get_attribute("aria-label") for i in (0, 1)]
    assert "First (earlier): fast 100," in labels[0] and "Second (later): steady 75," in labels[1]
    choose(page, "compare", "stacked")
    stand_still(page)
    boxes = [page.locator("#paper .ecg-sheet").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0]["x"] == boxes[1]["x"] and boxes[0]["y"] < boxes[1]["y"]
    page.click("#median button")
    page.wait_for_selector(f"{BEATS}[data-geometry]")
    label = page.locator(BEATS).get_attribute("aria-label")
    assert "First (earlier): fast 100 and Second (later): steady 75" in label
    assert "aligned on R" in label
    assert len(geometry(page, BEATS)["strips"]) == 12
    pick(page, "other", "None")
    page.locator("#quality b").nth(1).wait_for(state="detached")
    assert page.locator(STRIPS).count() == 1
    assert "(later)" not in page.locator(STRIPS).get_attribute("aria-label")


def test_p7_measurements_of_both_and_their_change(page):
    pick(page, "other", "fast 100")
    rate = page.locator("table.measured tr", has_text="Heart rate")
    rate.get_by_text("−25").wait_for()
    assert rate.locator("td").all_inner_texts()[1:] == ["100", "75", "▼ −25"]
    caption = page.locator("table.measured caption").inner_text()
    assert caption == "Measurements (algorithm, not the language model)"


def test_p8_quality_line_tells_length_rate_and_source(page):
    line = page.locator("#quality .quality-line").inner_text()
    for fact in ("steady 75", "10.0 s", "500 Hz", "I + III − II: 0.00 mV", "SHA-256 aaaaaaaaaaaa"):
        assert fact in line
    assert "no fault found" in line


def test_p9_the_dependence_test_shows_its_table_and_a_verdict(page):
    if page.locator("#answers .message-row").count():
        page.locator("#answers button[aria-label='Clear']").click()
        settled(page)  # as if nothing had been asked
    page.locator("#depends").wait_for(state="hidden")  # nothing was answered yet
    ask(page, "Is it regular?").wait_for()
    page.click("#depends")
    page.locator(".verdict").get_by_text("alone would not give this answer").wait_for()
    rows = page.locator("table.dependence tbody tr")
    assert rows.count() == 7
    reference = ["0 (ref.)"] * 2
    assert rows.nth(0).locator("td").all_inner_texts() == ["This ECG", "yes", *reference]
    assert rows.nth(1).locator("td").all_inner_texts()[2:] == ["−1.84", "−3.68"]
    page.locator("#proof").get_by_text("each is at least 1.06").wait_for()
    assert page.locator(".asked").inner_text() == "Is it regular?"


# ------------------------------------------------------------------------------ P10 to P12


def test_p10_every_answer_names_ecgs_model_decoding_time_and_confidence(page):
    pick(page, "other", "fast 100")
    facts = ask(page, "What changed?").inner_text()
    assert facts == (
        "Confidence 82% · first ECG: fast 100 · second ECG: steady 75 · stand-in 1.0 · greedy"
        " · 0.1 s"
    )


def test_evidence_is_marked_where_it_lies_until_the_next_ecg(page):
    ask(page, "Which lead?").wait_for()
    page.locator("#answers .rests").last.get_by_text("Rests most on II 70").wait_for()
    page.wait_for_function(
        "s => JSON.parse(document.querySelector(s).dataset.geometry).marked.length === 3",
        arg=STRIPS,
    )
    marked = geometry(page)["marked"]
    # 3 x 4: pulse and margins take 15 mm; lead II starts there, on its row and as the rhythm strip.
    assert [(m["lead"], m["row"], m["x_mm"], m["wide_mm"]) for m in marked] == [
        ("II", 1, 40, 25), ("II", 3, 40, 25), ("V1", 0, 165, 12.5),
    ]  # fmt: skip
    page.locator("#paper button[name=evidence]").click()
    assert geometry(page)["marked"] == []
    page.locator("#paper button[name=evidence]").click()
    assert len(geometry(page)["marked"]) == 3
    pick(page, "this", "fast 100")
    page.locator("#paper button[name=evidence]").wait_for(state="hidden")
    assert geometry(page)["marked"] == []


def test_evidence_of_another_recording_is_never_drawn(page):
    """It comes late when another ECG was chosen while the model answered."""
    tell = """sha256 => window.dispatchEvent(new CustomEvent("ecg-evidence", {detail: [
        {slot: 0, sha256, lead: "II", start_s: 1, seconds: 1, strength: 1}]}))"""
    page.evaluate(tell, "f" * 64)
    assert geometry(page)["marked"] == []
    page.evaluate(tell, "a" * 64)
    assert len(geometry(page)["marked"]) == 2, "lead II and the rhythm strip"
    page.evaluate("window.dispatchEvent(new CustomEvent('ecg-evidence', {detail: []}))")


def test_a_measured_number_that_contradicts_the_answer_is_flagged(page):
    ask(page, "A tachycardia?").wait_for()
    flag = page.locator("#answers .measured-contradicts").last
    words = "rate 75 per min speaks against sinus tachycardia (100 per min and more)"
    flag.get_by_text(f"Measured: {words}").wait_for()


def test_page_and_numbers_can_be_kept(page, tmp_path):
    ask(page, "Is it kept?").wait_for()
    page.locator("#answers .rests").last.wait_for()
    begins = {"pdf": b"%PDF-", "png": b"\x89PNG", "csv": b"\xef\xbb\xbfmeasurement"}
    for kind, first in begins.items():
        with page.expect_download() as waiting:
            page.click(f"#keep-{kind}")
        file = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(file)
        assert file.name == f"steady_75.{kind}"
        assert file.read_bytes().startswith(first)
    text = " ".join(PdfReader(tmp_path / "steady_75.pdf").pages[0].extract_text().split())
    assert INTENDED_USE in text and "Is it kept?" in text and "Rests most on II" in text
    assert "Heart rate,per min,75.0" in (tmp_path / "steady_75.csv").read_text("utf-8-sig")


def test_the_same_file_can_be_kept_twice(page):
    for _ in range(2):
        with page.expect_download():
            page.click("#keep-csv")


def test_p11_the_intended_use_is_on_the_page(page):
    assert page.locator("#intended-use").inner_text() == INTENDED_USE


def test_p12_a_header_alone_gets_plain_words_and_no_former_ecg_stands_for_it(page, tmp_path):
    header, _ = write_wfdb(tmp_path, "demo", beats_mv())
    page.set_input_files("#this-upload input[type=file]", header)
    page.locator("[data-testid=toast-body]").get_by_text("demo.dat").wait_for()
    assert "Traceback" not in page.content()
    page.locator("#quality").get_by_text("demo.hea could not be read").wait_for()
    # The parts of the page are drawn one after the other: some may go a frame later.
    page.locator("#quality b").wait_for(state="detached")
    page.locator(STRIPS).wait_for(state="detached")
    assert page.locator("#quality b").count() == 0 and page.locator(STRIPS).count() == 0
    page.locator("table.measured td", has_text="–").first.wait_for()
    page.locator("table.measured", has_text="75").wait_for(state="detached")
    assert "75" not in page.locator("table.measured").inner_text()
    pick(page, "this", "steady 75")
    assert "could not be read" not in page.locator("#quality").inner_text()


# ------------------------------------------------------------------------------ the whole path


def test_an_uploaded_pair_is_drawn_measured_and_answered(page, tmp_path):
    page.set_input_files(
        "#this-upload input[type=file]", write_wfdb(tmp_path, "mine", beats_mv(rr_s=1.0))
    )
    page.locator("#quality b").get_by_text("mine").wait_for()
    assert "mine" in page.locator(STRIPS).get_attribute("aria-label")
    page.locator("table.measured td").get_by_text("60", exact=True).first.wait_for()
    assert "mine" in ask(page, "Is it slow?").inner_text()


def test_two_tracings_of_one_patient_are_compared(browser, url, ecg_data):
    """PTB-XL 961 and 973: both on paper, beats overlaid, what changed in words."""
    with visit(browser, url, width=1440) as page:
        for slot, number in (("this", "00973"), ("other", "00961")):
            record = ecg_data / "ptbxl/records100/00000" / f"{number}_lr"
            files = [record.with_suffix(".hea"), record.with_suffix(".dat")]
            page.set_input_files(f"#{slot}-upload input[type=file]", files)
            page.locator("#quality b").get_by_text(number).wait_for()
        page.locator(".changes").get_by_text("Changed, by the algorithm").wait_for()
        settled(page)
        first, second = (page.locator(STRIPS).nth(i).bounding_box() for i in (0, 1))
        assert first["y"] == second["y"] and second["x"] > first["x"] + first["width"] / 2
        page.locator("#median button").first.click()
        page.locator(f"{BEATS}[data-geometry]").wait_for()
        label = page.locator(BEATS).get_attribute("aria-label")
        assert "00961_lr and Second (later): 00973_lr" in label


def test_the_trained_model_answers_about_two_ecgs_and_is_put_to_the_test(browser, tmp_path):
    """`python app.py` as a user starts it: the real model, the real gallery."""
    question = "Has atrial fibrillation been resolved in the recent tracing?"
    with served_as_command(tmp_path) as (url, _), visit(browser, url) as page:
        page.set_input_files(
            "#this-upload input[type=file]", write_wfdb(tmp_path, "mine", beats_mv())
        )
        page.locator("#quality b").get_by_text("mine").wait_for()
        pick(page, "other", "Simulated: atrial fibrillation")
        page.locator("table.measured td").get_by_text("75", exact=True).first.wait_for()
        page.set_default_timeout(240_000)  # a new machine fetches the language model first
        page.locator("#status").get_by_text("Model ready").wait_for()
        facts = ask(page, question)
        facts.wait_for()
        for words in ("first ECG: Simulated: atrial", "second ECG: mine", "SmolLM2", "greedy"):
            assert words in facts.inner_text()
        page.click("#depends")
        page.locator(".verdict").wait_for()
        rows = page.locator("table.dependence tbody tr")
        assert rows.count() == 7 and "mine" in rows.first.inner_text()
        assert page.locator(".asked").inner_text() == question


def test_a_printout_is_shown_with_the_traces_that_were_read_off_it(page, ecg_data):
    printout = ecg_data / "formats/printout/anonymous_ecg_3x4_1.png"
    assert page.locator("#tracing img").count() == 0
    page.set_input_files("#this-upload input[type=file]", printout)
    page.locator("#quality b").get_by_text(printout.stem).wait_for()
    drawn = page.locator("#tracing img")
    drawn.wait_for()
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 800
    assert printout.stem in drawn.get_attribute("alt")
    pick(page, "this", "steady 75")
    settled(page)
    assert drawn.count() == 0


def test_a_text_file_is_read_once_rate_and_unit_are_said(page, tmp_path):
    path = tmp_path / "columns.csv"
    rows = [",".join(LEADS), *(",".join(f"{v:.0f}" for v in row) for row in beats_mv().T * 1000)]
    path.write_text("\n".join(rows) + "\n")
    assert not page.locator("#this-rate").is_visible()
    page.set_input_files("#this-upload input[type=file]", path)
    settled(page)  # the boxes are emptied as they appear
    page.fill("#this-rate input", "500")
    page.fill("#this-units input", "uV")
    page.keyboard.press("Enter")
    page.click("#this-again")
    page.locator("#quality b").get_by_text("columns").wait_for()
    page.locator("#this-rate").wait_for(state="hidden")
    second = path.rename(tmp_path / "other.csv")
    page.set_input_files("#this-upload input[type=file]", second)
    page.locator("#this-rate").wait_for()
    settled(page)
    assert page.locator("#this-rate input").input_value() == "", "of another file it says nothing"
    assert page.locator("#this-units input").input_value() == ""
    page.locator("#quality b").wait_for(state="detached")  # the former one does not stand for it


def test_answers_stream_and_can_be_stopped(browser, step):
    with served(lambda progress: FakeAssistant(step)) as url, visit(browser, url) as page:
        ask(page, "Is it regular?")
        answers = page.locator("#answers")
        for so_far in ("yes,", "yes, this", "yes, this is"):
            step.release()
            answers.get_by_text(so_far, exact=True).wait_for()
        page.click("#stop")
        answers.get_by_text("Stopped before it was answered.").wait_for()
        step.release()  # the answer ends at its next word, and must not come back
        settled(page)
        assert answers.get_by_text("Stopped before it was answered.").is_visible()
        assert page.locator(".provenance").count() == 0
        assert "…" not in answers.inner_text() and "yes, this is" not in answers.inner_text()
        facts = ask(page, "Is it fast?")
        step.release(6)
        facts.wait_for()
        assert "Stopped" not in answers.inner_text() and "Is it fast?" in answers.inner_text()


def test_what_is_typed_while_an_answer_comes_stays_in_the_box(browser, step):
    with served(lambda progress: FakeAssistant(step)) as url, visit(browser, url) as page:
        box = page.locator("#question textarea")
        facts = ask(page, "Is it regular?")
        page.locator("#answers").get_by_text("Is it regular?").wait_for()
        assert box.input_value() == ""
        box.fill("And is it")
        step.release(6)
        facts.wait_for()
        settled(page)
        assert box.input_value() == "And is it"


def test_a_question_is_answered_about_the_ecg_it_was_asked_of(browser, step):
    """It waits for another session's answer while another ECG is chosen."""
    with (
        served(lambda progress: FakeAssistant(step)) as url,
        visit(browser, url) as first,
        visit(browser, url) as second,
    ):
        ask(first, "Is it mine?")
        step.release()
        first.locator("#answers").get_by_text("yes,", exact=True).wait_for()
        ask(second, "Is it steady?")
        second.wait_for_function("document.querySelector('#question textarea').value === ''")
        second.click("#ask")
        second.get_by_text("Please wait for the answer to your last question").first.wait_for()
        pick(second, "this", "fast 100")
        step.release(11)  # what is left of the first answer, and the second one
        earlier = second.locator("#earlier summary", has_text="steady 75")
        earlier.wait_for()
        assert second.locator("#quality b").inner_text() == "fast 100"
        assert "Is it steady?" not in second.locator("#answers").inner_text()
        earlier.click()
        assert "Is it steady?" in second.locator("#earlier").inner_text()
        pick(second, "this", "steady 75")
        second.locator("#answers").get_by_text("Is it steady?").wait_for()
        assert "steady 75" in second.locator("#answers .provenance").inner_text()
        assert not second.locator("#earlier").is_visible()


def test_nothing_said_of_one_patient_stands_under_another(browser, tmp_path):
    with served() as url, visit(browser, url) as page:
        ask(page, "Is the first patient well?").wait_for()
        page.locator("#answers .rests").wait_for()
        pick(page, "this", "fast 100")
        page.locator("#answers", has_text="first patient").wait_for(state="detached")
        ask(page, "Is somebody else well?").wait_for()
        page.locator("#answers .rests").wait_for()
        answers = page.locator("#answers").inner_text()
        assert "somebody else" in answers and "steady 75" not in answers
        assert "first patient" not in page.locator("#earlier").inner_text()
        for kind in ("pdf", "png", "csv"):
            with page.expect_download() as waited:
                page.click(f"#keep-{kind}")
            file = tmp_path / f"kept.{kind}"
            waited.value.save_as(file)
            if kind == "pdf":
                text = " ".join(PdfReader(file).pages[0].extract_text().split())
                assert "Is somebody else well?" in text
                assert "first patient" not in text and "steady 75" not in text
            elif kind == "csv":
                assert "steady 75" not in file.read_text("utf-8-sig")
        page.locator("#answers button[aria-label='Clear']").click()
        page.locator("#answers", has_text="somebody else").wait_for(state="detached")
        pick(page, "this", "steady 75")
        page.locator("#quality b").get_by_text("steady 75").wait_for()
        assert "first patient" not in page.content()


def test_a_long_recording_is_walked_through_ten_seconds_at_a_time(page):
    assert page.locator(".ecg-start").count() == 0
    pick(page, "this", "one minute")
    slider = page.locator(".ecg-start input")
    slider.fill("20")
    assert geometry(page)["strips"][0]["start_s"] == 20
    assert "20 to 30 s of 60 s" in page.locator(".ecg-start").inner_text()
    assert "one minute, 20 to 30 s" in ask(page, "Is it steady here?").inner_text()
    page.locator("#quality b").get_by_text("one minute, 20 to 30 s").wait_for()
    pick(page, "other", "fast 100")
    settled(page)
    assert geometry(page, nth=1)["strips"][0]["start_s"] == 0, "a new comparison begins anew"
    assert "one minute ·" in ask(page, "Is it steady there?").inner_text()


def test_what_of_a_very_long_recording_is_not_shown_is_said(page, monkeypatch):
    monkeypatch.setattr("ecgqa.paper.drawing.MOST_SAMPLES", 40 * 500)
    pick(page, "this", "one minute")
    slider = page.locator(".ecg-start")
    slider.get_by_text("0 to 10 s of 60 s").wait_for()
    assert slider.inner_text().endswith("what follows 40 s is not shown")
    assert slider.locator("input").get_attribute("max") == "30"


def test_the_quality_line_judges_what_is_shown(page, tmp_path):
    """Half a minute, of which the last ten seconds have no signal in V3."""
    signal_mv = beats_mv(30)
    signal_mv[LEADS.index("V3"), 20 * 500 :] = 0
    files = write_wfdb(tmp_path, "falling", signal_mv)
    page.set_input_files("#this-upload input[type=file]", files)
    line = page.locator("#quality .quality-line")
    line.get_by_text("falling, 0 to 10 s").wait_for()
    assert "10.0 s" in line.inner_text() and "no fault found" in line.inner_text()
    page.locator(".ecg-start input").fill("20")
    line.get_by_text("falling, 20 to 30 s").wait_for()
    assert "No usable signal in V3" in line.inner_text()


def test_a_file_that_comes_again_is_shown_and_asked_about_from_its_beginning(page, tmp_path):
    files = write_wfdb(tmp_path, "long", beats_mv(60))
    page.set_input_files("#this-upload input[type=file]", files)
    page.locator("#quality b").get_by_text("long").wait_for()
    page.locator(".ecg-start input").fill("30")
    assert "long, 30 to 40 s" in ask(page, "Is it steady here?").inner_text()
    page.set_input_files("#this-upload input[type=file]", files)
    page.wait_for_function(
        "s => JSON.parse(document.querySelector(s).dataset.geometry).strips[0].start_s === 0",
        arg=STRIPS,
    )
    assert "long ·" in ask(page, "Is it steady there?").inner_text()


def test_an_ecg_chosen_by_mouse_or_keyboard_is_drawn_once(page):
    with requests_of(page) as asked:
        pick(page, "this", "fast 100")
        settled(page)
        page.focus("#this-pick input")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        page.locator("#quality b").get_by_text("steady 75").wait_for()
        page.locator("table.measured td").get_by_text("75", exact=True).first.wait_for()
    events = [request for request in asked if request.url.endswith("/queue/join?")]
    names = [event.post_data_json["data"][0] for event in events]
    assert [name for name in names if name] == ["fast 100", "steady 75"]


class SlowGallery(FakeGallery):
    """One recording is opened when the test says so, one cannot be read."""

    def __init__(self, gate):
        super().__init__()
        self._gate = gate

    def names(self):
        return [*super().names(), "broken"]

    def open(self, name):
        if name == "broken":
            raise EcgFileError("This recording is broken.")
        if name == "V3 missing":
            self._gate.stop()
        return super().open(name)


@pytest.fixture
def slow(browser, gate):
    with served(gallery=SlowGallery(gate)) as url, visit(browser, url) as page:
        yield page


def read_slowly(monkeypatch, gate):
    """Let the reading of files called "slow" stop at the gate."""
    read = wiring.read_taken

    def slowly(taken, *unsaid):
        if taken[0][0].startswith("slow"):
            gate.stop()
        return read(taken, *unsaid)

    monkeypatch.setattr(wiring, "read_taken", slowly)


def upload(page, folder, name):
    """Give the page a recording of 60 beats per minute, without waiting for it."""
    files = write_wfdb(folder, name, beats_mv(rr_s=1.0))
    page.set_input_files("#this-upload input[type=file]", files)


ON_PAPER = """names => {
    const told = [...document.querySelectorAll("#quality b")].map((b) => b.innerText);
    const drawn = [...document.querySelectorAll("#paper canvas.ecg-canvas")];
    return told.length === names.length && drawn.length === names.length
      && names.every((name, i) => told[i].split(", ")[0] === name
        && drawn[i].getAttribute("aria-label").includes(name));
}"""


def papers(page, *names):
    """Wait until these are on paper and their quality is told, one after the other."""
    page.wait_for_function(ON_PAPER, arg=list(names))


def test_two_ecgs_chosen_in_quick_succession_are_both_on_the_page(slow, gate):
    take(slow, "this", "V3 missing")
    take(slow, "other", "fast 100")
    papers(slow, "fast 100", "steady 75")
    gate.open()
    papers(slow, "fast 100", "V3 missing")
    facts = ask(slow, "What changed?").inner_text()
    assert "first ECG: fast 100 · second ECG: V3 missing" in facts


def test_of_two_recordings_chosen_for_one_place_the_later_one_gets_it(
    slow, gate, tmp_path, monkeypatch
):
    take(slow, "this", "V3 missing")
    gate.reached()
    slow.wait_for_function("eventsUnderWay()")
    take(slow, "this", "fast 100")
    papers(slow, "fast 100")
    gate.open()
    settled(slow)
    assert not slow.evaluate("eventsUnderWay()")
    assert slow.evaluate(ON_PAPER, ["fast 100"])
    gate.shut()
    read_slowly(monkeypatch, gate)
    upload(slow, tmp_path, "slow")
    gate.reached()
    upload(slow, tmp_path, "quick")
    papers(slow, "quick")
    gate.open()
    settled(slow)
    assert slow.evaluate(ON_PAPER, ["quick"])


@pytest.mark.parametrize("ends", ["is read", "is refused"])
def test_a_file_may_be_on_its_way_when_the_one_before_it(page, gate, tmp_path, monkeypatch, ends):
    """Its box is then not emptied: gradio's cannot begin anew in the middle of an upload."""
    read_slowly(monkeypatch, gate)
    if ends == "is read":
        upload(page, tmp_path, "slow")
    else:
        header, _ = write_wfdb(tmp_path, "slow", beats_mv())
        page.set_input_files("#this-upload input[type=file]", header)
    gate.reached()
    on_its_way = []
    page.route(UPLOAD, lambda route: on_its_way.append(route))
    with page.expect_request(UPLOAD):
        upload(page, tmp_path, "quick")
    gate.open()
    page.locator("#quality", has_text="slow").wait_for()
    page.locator("#this-upload").get_by_text("Uploading 2 files").wait_for()
    stand_still(page)
    page.unroute(UPLOAD)
    on_its_way[0].continue_()
    papers(page, "quick")
    page.locator("#this-upload").get_by_text("Drop File Here").wait_for()


def test_the_table_belongs_to_the_ecg_on_the_paper(slow, gate, monkeypatch):
    measure = looking.measure

    def slowly(ecg):
        if ecg.name == "one minute":
            gate.stop()
        return measure(ecg)

    monkeypatch.setattr(looking, "measure", slowly)
    take(slow, "this", "one minute")
    papers(slow, "one minute")
    gate.reached()
    take(slow, "this", "fast 100")
    papers(slow, "fast 100")
    gate.open()
    settled(slow)
    rate = slow.locator("table.measured tr", has_text="Heart rate").locator("td").nth(1)
    assert rate.inner_text() == "100"


def test_a_question_that_comes_before_the_paper_is_refused_in_words(browser, gate, monkeypatch):
    draw = looking.draw

    def slowly(desk):
        gate.stop()
        return draw(desk)

    monkeypatch.setattr(looking, "draw", slowly)
    with served() as url, contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        watch = WATCHES[page] = Watch(page, url)
        page.goto(url)
        gate.reached()
        page.fill("#question textarea", "Is it steady?")
        page.click("#ask")
        said = page.locator("[data-testid=toast-body]")
        said.get_by_text("There is no ECG here").wait_for()
        assert "Sorry" not in said.inner_text()
        gate.open()
        papers(page, "steady 75")
        assert "steady" in ask(page, "Is it steady?").inner_text()
        settled(page)
        watch.check()


def test_the_last_of_several_moves_of_the_slider_counts(slow, gate, monkeypatch):
    """Of those that come while the first is under way."""
    walk = looking.walk

    def slowly(desk, to):
        gate.stop()
        return walk(desk, to)

    monkeypatch.setattr(looking, "walk", slowly)
    take(slow, "this", "one minute")
    papers(slow, "one minute")
    move = """(slider, seconds) => {
        for (const second of seconds) {
            slider.value = second;
            slider.dispatchEvent(new Event("input"));
            slider.dispatchEvent(new Event("change"));
        }
    }"""
    slider = slow.locator(".ecg-start input")
    slider.evaluate(move, [10])
    gate.reached()
    slider.evaluate(move, [20, 30, 40])
    assert "40 to 50 s of 60 s" in slow.locator(".ecg-start").inner_text()
    gate.open()
    settled(slow)
    assert slow.locator("#quality b").inner_text() == "one minute, 40 to 50 s"
    assert "one minute, 40 to 50 s" in ask(slow, "Is it steady here?").inner_text()


def test_a_recording_that_cannot_be_opened_leaves_no_name_behind(slow):
    take(slow, "this", "broken")
    slow.locator("[data-testid=toast-body]").get_by_text("This recording is broken.").wait_for()
    slow.wait_for_function("document.querySelector('#this-pick input').value === ''")
    slow.locator("#quality").get_by_text("broken could not be read").wait_for()
    assert slow.locator(STRIPS).count() == 0 and slow.locator("#quality b").count() == 0


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


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "light")])
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
        settled(page)
        found = Axe().run(page).response["violations"]
        assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found] == []


def test_full_screen_shows_the_paper_alone(page):
    page.locator("#paper button[name=full]").click()
    page.wait_for_function("document.fullscreenElement?.classList.contains('ecg-paper')")
    page.locator("#paper button[name=full]").click()
    page.wait_for_function("document.fullscreenElement === null")


def test_p6_the_difference_trace_is_zero_for_the_same_ecg(page):
    """Drawn on its own line 17 mm below the beats; of one recording with itself it is that line."""
    pick(page, "other", "steady 75")
    if not page.locator(BEATS).is_visible():
        page.locator("#median button").first.click()
    page.locator("#beats button[name=difference]").click()
    drawn = geometry(page, BEATS)
    assert drawn["difference_mm"] == 17
    strip = drawn["strips"][0]
    reddest = page.locator(BEATS).evaluate(
        """(canvas, [x, y, wide, high]) => {
            const ratio = window.devicePixelRatio, ctx = canvas.getContext("2d");
            const data = ctx.getImageData(x * ratio, y * ratio, wide * ratio, high * ratio).data;
            const rows = [];
            for (let i = 0; i < data.length; i += 4)
              if (data[i] - data[i + 2] > 90 && data[i + 1] < 110)
                rows.push(Math.floor(i / 4 / Math.round(wide * ratio)) / ratio);
            return rows;
        }""",
        [strip["x"], strip["y"] + 10 * drawn["pxPerMm"], 10 * drawn["pxPerMm"],
         14 * drawn["pxPerMm"]],
    )  # fmt: skip
    assert reddest, "the difference is drawn"
    assert max(abs(y - 7 * drawn["pxPerMm"]) for y in reddest) < 0.8 * drawn["pxPerMm"]
    page.locator("#beats button[name=difference]").click()


def test_a_phone_scrolls_the_paper_and_not_the_page(browser, url):
    with visit(browser, url, width=390) as page:
        pick(page, "other", "fast 100")
        page.locator(STRIPS).nth(1).wait_for()
        settled(page)
        assert geometry(page)["pxPerMm"] >= 3
        boxes = [page.locator("#paper .ecg-sheet").nth(i).bounding_box() for i in (0, 1)]
        assert boxes[0]["y"] < boxes[1]["y"]
        wide = page.evaluate("""() => [...document.querySelectorAll("main *")].filter((e) => {
            const box = e.getBoundingClientRect();
            return box.width && box.right > innerWidth + 1
                && !e.closest(".ecg-scroller, .table-box, .ecg-toolbar");
        }).map((e) => e.tagName + "#" + e.id)""")
        assert wide == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        scroller = page.locator(".ecg-scroller").first
        assert scroller.evaluate("e => e.scrollWidth > e.clientWidth")
