"""ECGs that are chosen and uploaded, one after the other or at once, in a real Chromium."""

from __future__ import annotations

import contextlib

import pytest
from chromium import needs_browser, tried_twice
from screen import (
    ON_PAPER,
    STRIPS,
    UPLOAD,
    WATCHES,
    Watch,
    ask,
    geometry,
    papers,
    pick,
    requests_of,
    settled,
    stand_still,
    take,
    upload,
    visit,
)
from test_app import (
    FakeGallery,
    beats_mv,
    served,
    write_wfdb,
)

from ecgqa.page import looking, wiring
from ecgqa.record import LEADS, EcgFileError

pytestmark = [needs_browser, tried_twice]


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


def test_an_uploaded_pair_is_drawn_measured_and_answered(page, tmp_path):
    page.set_input_files(
        "#this-upload input[type=file]", write_wfdb(tmp_path, "mine", beats_mv(rr_s=1.0))
    )
    page.locator("#quality b").get_by_text("mine").wait_for()
    assert "mine" in page.locator(STRIPS).get_attribute("aria-label")
    page.locator("table.measured td").get_by_text("60", exact=True).first.wait_for()
    assert "mine" in ask(page, "Is it slow?").inner_text()


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
