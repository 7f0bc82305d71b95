"""The page in a real Chromium: what stands in one view, on a desk, a tablet and a phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import needs_browser
from screen import (
    BEATS,
    STRIPS,
    ask,
    cells,
    choose,
    cut_off,
    drag,
    geometry,
    open_beats,
    pick,
    settled,
    visit,
)
from test_app import beats_mv, write_wfdb

pytestmark = needs_browser
at_each_width = pytest.mark.parametrize(
    "desk", [{"width": width} for width in (1920, 1440, 1024, 390)], indirect=True, ids=str
)


def in_sight(page, selector):
    """The share of an element's height that is in the viewport and above the question's bar."""
    return page.locator(selector).last.evaluate("""element => {
        const box = element.getBoundingClientRect();
        const bar = document.querySelector("#ask-bar");
        const edge = bar.contains(element) ? innerHeight : bar.getBoundingClientRect().top;
        return Math.max(0, Math.min(box.bottom, edge) - Math.max(box.top, 0)) / box.height;
    }""")


@at_each_width
def test_the_question_is_always_in_sight_and_its_answer_comes_into_it(page):
    assert in_sight(page, "#question textarea") == 1 and in_sight(page, "#ask") == 1
    assert in_sight(page, STRIPS) > 0.5
    before = page.locator("#answers .rests").count()
    ask(page, "Is it regular?").wait_for()
    page.locator("#answers .rests").nth(before).wait_for()
    page.wait_for_function(
        "document.querySelector('#said').getBoundingClientRect().bottom"
        " <= document.querySelector('#ask-bar').getBoundingClientRect().top"
    )
    assert in_sight(page, "#answers .provenance") == 1
    assert in_sight(page, STRIPS) > 0.3, "the answer stands beside the paper"
    for question in ("And is it fast?", "And in V2, where the waves are high?"):
        ask(page, question).wait_for()
    page.locator("#answers .rests").nth(before + 2).wait_for()
    settled(page)
    assert in_sight(page, "#answers .rests") == 1
    box, last = (page.locator(s).last.bounding_box() for s in ("#answers", "#answers .rests"))
    assert box["y"] <= last["y"] < last["y"] + last["height"] <= box["y"] + box["height"]
    page.mouse.wheel(0, 3000)
    page.wait_for_function("scrollY > 50 || document.body.scrollHeight <= innerHeight")
    assert in_sight(page, "#question textarea") == 1


def test_on_a_desk_paper_numbers_and_answer_stand_in_one_view(browser, url):
    with visit(browser, url, width=1440) as page:
        ask(page, "Is it regular?").wait_for()
        page.locator("#answers .rests").wait_for()
        for part in (STRIPS, "table.measured", "#answers .provenance", "#question textarea"):
            assert in_sight(page, part) == 1, part
        page.click("#depends")
        page.locator("#proof .verdict").wait_for()
        answer, proof = (page.locator(s).bounding_box() for s in ("#answers", "#tested"))
        assert proof["x"] >= answer["x"] + answer["width"], "beside its answer"
        assert abs(proof["y"] - answer["y"]) < 30


@at_each_width
def test_nothing_is_cut_off_with_two_ecgs(page):
    pick(page, "other", "fast 100")
    page.locator("table.measured th", has_text="Change").wait_for()
    table = page.locator(".table-box").first
    assert table.evaluate("e => e.scrollWidth <= e.clientWidth"), "the change is not cut off"
    ask(page, "Is it regular?").wait_for()
    page.click("#depends")
    page.locator("#proof .verdict").wait_for()
    assert cut_off(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_one_ecg_has_one_column_of_numbers(page):
    heads = page.locator("table.measured th")
    page.locator("table.measured td").get_by_text("75", exact=True).first.wait_for()
    assert "Comparison" not in heads.all_inner_texts()


@at_each_width
def test_fit_shows_the_whole_sheet(page):
    assert geometry(page)["pxPerMm"] >= 3, "as the page opens the 1 mm grid can be read"
    choose(page, "zoom", "fit")
    scroller = page.locator(".ecg-scroller").first
    assert scroller.evaluate("e => e.scrollWidth <= e.clientWidth")
    last = max(
        strip["x"] + strip["seconds"] * 25 * geometry(page)["pxPerMm"]
        for strip in geometry(page)["strips"]
    )
    assert last <= scroller.evaluate("e => e.clientWidth")


def test_the_hint_says_what_a_drag_does(browser, url):
    with visit(browser, url, width=390, has_touch=True, is_mobile=True) as page:
        readout = page.locator("#paper output")
        assert "Swipe scrolls" in readout.inner_text()
        page.locator("#paper button[name=touch]").click()
        assert readout.inner_text() == "Drag to measure"


def test_about_which_ecg_is_asked_only_where_there_are_two(page):
    about = page.locator("#about")
    assert not about.is_visible()
    pick(page, "other", "fast 100")
    about.get_by_text("both ECGs").click()
    pick(page, "other", "None")
    page.locator("#quality b").nth(1).wait_for(state="detached")
    assert about.is_visible(), "what still applies can be seen"
    about.get_by_text("as worded").click()
    about.wait_for(state="hidden")


def number(page, label):
    """What was measured on this ECG, without its flags."""
    return int(cells(page, label)[1].split()[-1])


def mark(page, name, lead="II"):
    """Where a mark of the median beat of this ECG is drawn."""
    drawn = geometry(page, BEATS)["waves"]
    return next(m for m in drawn if (m["name"], m["lead"], m["which"]) == (name, lead, 0))


@at_each_width
def test_a_moved_mark_changes_the_intervals_and_can_be_taken_back(page):
    open_beats(page)
    qrs, qt = (number(page, name) for name in ("QRS duration", "QT interval"))
    at, px = mark(page, "qrs_off"), geometry(page, BEATS)["pxPerMm"]
    page.locator("#beats .ecg-scroller").evaluate("(e, x) => { e.scrollLeft = x - 120; }", at["x"])
    page.locator(BEATS).evaluate("e => e.scrollIntoView({block: 'center'})")
    drag_from = (at["x"], at["y"])
    drag(page, BEATS, drag_from, (at["x"] + px, at["y"]))  # 1 mm to the right: 40 ms
    page.locator(".doubt", has_text="Moved by hand: QRS end").wait_for()
    assert number(page, "QRS duration") == pytest.approx(qrs + 40, abs=2)
    assert number(page, "QT interval") == qt, "QT has other marks"
    with page.expect_download() as waited:
        page.click("#keep-csv")
    assert "Moved by hand: QRS end" in waited.value.path().read_text("utf-8-sig")
    page.locator("#beats button[name=undo]").click()
    page.locator(".doubt").wait_for(state="detached")
    assert number(page, "QRS duration") == qrs
    assert mark(page, "qrs_off")["x"] == pytest.approx(at["x"])


def test_marks_move_by_keyboard_and_leave_with_their_ecg(page):
    open_beats(page)
    qt = number(page, "QT interval")
    page.locator("#beats canvas.ecg-caliper").focus()
    for _ in range(5):
        page.keyboard.press("w")
    assert "T end" in page.locator("#beats output").inner_text()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.locator(".doubt", has_text="T end").wait_for()
    page.wait_for_function(
        "qt => document.querySelector('table.measured').innerText.includes(qt)",
        arg=str(qt + 30),
    )
    pick(page, "this", "fast 100")
    page.locator(".doubt").wait_for(state="detached")
    assert not page.locator("#beats button[name=undo]").is_visible()


def test_from_upload_to_the_first_answer_by_at_most_twelve_keys(browser, url, tmp_path):
    files = write_wfdb(tmp_path, "by_keys", beats_mv())
    with visit(browser, url) as page:
        presses = []

        def press(key):
            presses.append(key)
            page.keyboard.press(key)

        with page.expect_file_chooser() as chooser:
            press("u")
        chooser.value.set_files(files)
        page.locator("#quality b").get_by_text("by_keys").wait_for()
        for key in ("/", "ArrowDown", "Enter"):
            press(key)
        page.locator("#answers .provenance").get_by_text("by_keys").wait_for()
        assert "Does this ECG show atrial fibrillation?" in page.locator("#answers").inner_text()
        press("Escape")
        press("d")
        page.locator("#proof .verdict").wait_for()
        assert len(presses) <= 12


def test_keys_are_listed_can_be_switched_off_and_leave_typing_alone(browser, url):
    with visit(browser, url) as page:
        page.keyboard.press("?")
        sheet = page.locator("#keys")
        sheet.get_by_text("Go to the question").wait_for()
        assert Axe().run(page).response["violations"] == []
        page.keyboard.press("?")
        sheet.wait_for(state="hidden")
        page.keyboard.press("/")
        page.keyboard.type("used/?")
        box = page.locator("#question textarea")
        assert box.input_value() == "used/?" and not sheet.is_visible()
        page.keyboard.press("ArrowDown")
        assert box.input_value() == "used/?", "what was typed is not replaced by an example"
        page.keyboard.press("Escape")
        page.locator("#keys-button").click()
        sheet.get_by_label("Single keys of the page are on").uncheck()
        sheet.get_by_text("Close").click()
        page.keyboard.press("/")
        assert not box.evaluate("e => e === document.activeElement")
        page.keyboard.press("?")
        assert sheet.is_visible()


def test_beats_are_marked_on_the_rhythm_strip_by_kind(page):
    page.locator("table.measured td").get_by_text("75", exact=True).first.wait_for()
    page.locator("#paper button[name=waves]").click()
    page.wait_for_function(
        "s => JSON.parse(document.querySelector(s).dataset.geometry).waves.length > 0",
        arg=STRIPS,
    )
    drawn, strip = geometry(page)["waves"], geometry(page)["strips"][-1]
    beats = [m for m in drawn if m["name"] == "N"]
    assert len(beats) >= 11
    px = geometry(page)["pxPerMm"]
    for beat in beats:  # R is at 0.3, 1.1, ... s
        assert (beat["t"] - 0.3) % 0.8 == pytest.approx(0, abs=0.02) or (
            (beat["t"] - 0.3) % 0.8 == pytest.approx(0.8, abs=0.02)
        )
        assert beat["x"] == pytest.approx(strip["x"] + beat["t"] * 25 * px, abs=0.5)


def test_the_median_beats_are_not_cut_off(page):
    open_beats(page)
    choose(page, "gain", "20", "#beats")
    drawn = geometry(page, BEATS)
    assert drawn["off"] == []
    highest_mm = 20 * float(beats_mv().max())
    for strip in drawn["strips"]:
        assert strip["y"] / drawn["pxPerMm"] > highest_mm


def test_a_number_has_its_normal_range_beside_it(page):
    page.locator("table.measured td").get_by_text("75", exact=True).first.wait_for()
    assert cells(page, "Heart rate") == ["Heart rate (per min)", "75", "60 to 100"]
