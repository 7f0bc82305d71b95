"""The page in a browser, as tests see and use it: a page that is watched, and what hands do."""

from __future__ import annotations

import contextlib
import json
import re
import time
from weakref import WeakKeyDictionary

from gate import PATIENCE_S
from test_app import (
    beats_mv,
    write_wfdb,
)

NARROW_PX = 640  # as in paper.js: on a narrower page the paper opens readable
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

    def __init__(self, browser, url, **settings):
        self._browser, self._url, self._settings = browser, url, settings
        self._open, self._page = contextlib.ExitStack(), None

    def lend(self):
        """The page of the test before, or a new one."""
        if self._page is None:
            self.close()
            self._page = self._open.enter_context(
                opened(self._browser, self._url, **self._settings)
            )
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


def as_it_opens(page):
    """Bring a page that others used to where it opens, the model ready."""
    page.locator("#status").get_by_text("Model ready").wait_for()
    page.evaluate("scrollTo(0, 0)")
    zoom = "read" if page.viewport_size["width"] < NARROW_PX else "fit"
    for name, value in (
        ("layout", "3x4"), ("speed", "25"), ("gain", "10"), ("rhythm", "II"), ("compare", "auto"),
        ("zoom", zoom),
    ):  # fmt: skip
        page.evaluate(
            """([name, value]) => { const s = document.querySelector(`#paper select[name=${name}]`);
            s.value = value; s.dispatchEvent(new Event("change")); }""",
            [name, value],
        )
    for button in ("cabrera", "march"):
        pressed = page.locator(f"#paper button[name={button}]")
        if pressed.get_attribute("aria-pressed") == "true":
            pressed.click()
    # What an earlier test was told lies over the boxes.
    page.evaluate("document.querySelectorAll('.toast-close').forEach((button) => button.click())")
    page.locator(".toast-body").first.wait_for(state="detached")
    if page.locator("#quality b").count() > 1:
        pick(page, "other", "None")
        page.locator("#quality b").nth(1).wait_for(state="detached")
    if page.locator("#quality b").all_inner_texts() != ["steady 75"]:
        pick(page, "this", "steady 75")
    settled(page)


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


def cells(page, label):
    return page.locator("table.measured tr", has_text=label).locator("td").all_inner_texts()


def cut_off(page):
    """What reaches over the right edge of the page outside of a box that scrolls."""
    return page.evaluate("""() => [...document.querySelectorAll("main *")].filter((e) => {
        const box = e.getBoundingClientRect();
        return box.width && box.right > innerWidth + 1
            && !e.closest(".ecg-scroller, .table-box, .ecg-toolbar");
    }).map((e) => e.tagName + "#" + e.id)""")


def open_beats(page):
    page.locator("table.measured").wait_for()
    if not page.locator(BEATS).is_visible():
        page.locator("#median button").first.click()
    page.wait_for_selector(f"{BEATS}[data-geometry]")
    page.locator(BEATS).scroll_into_view_if_needed()
