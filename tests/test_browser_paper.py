"""ECG paper in a real Chromium: what is drawn, where it lies, and what the calipers read."""

from __future__ import annotations

import numpy as np
import pytest
from chromium import needs_browser, tried_twice
from screen import (
    BEATS,
    STRIPS,
    ask,
    choose,
    drag,
    geometry,
    pick,
    requests_of,
    settled,
    stand_still,
    visit,
)
from test_app import (
    FakeAssistant,
    beats_mv,
    served,
)

from ecgqa.record import LEADS

pytestmark = [needs_browser, tried_twice]


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


def test_p8_quality_line_tells_length_rate_and_source(page):
    line = page.locator("#quality .quality-line").inner_text()
    for fact in ("steady 75", "10.0 s", "500 Hz", "I + III − II: 0.00 mV", "SHA-256 aaaaaaaaaaaa"):
        assert fact in line
    assert "no fault found" in line


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
