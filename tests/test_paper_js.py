"""The paper's geometry and calipers, function by function: `paper.js` alone in a real Chromium."""

from __future__ import annotations

import math

import numpy as np
import pytest
from chromium import needs_browser

from ecgqa.paper import drawing
from ecgqa.record import ECG, LEADS

pytestmark = needs_browser

# The file is the body of a function. With one line behind it, it hands out what it defines.
LOAD = """([source, kind, ecgs]) => {
  document.body.innerHTML = '<div style="width: 1000px"></div>';
  const parts = ["view", "decode", "samplesOf", "planStrips", "planBeats", "chooseScale",
    "drawMarks", "drawDifference", "drawStrip", "drawPulse", "orderOf", "formatRate",
    "shorten", "numbersOf", "readout", "root"];
  const body = `${source}
    return { ${parts.join(", ")}, sheets: () => sheets, setMarks: (given) => { marks = given; } };`;
  const run = new Function("element", "trigger", "props", "server", "upload", "watch", body);
  window.props = { value: { kind, drawing: 7, ecgs } };
  window.triggered = [];
  window.paper = run(document.body.firstChild, (name) => triggered.push(name), props, null, null,
    () => {});
  window.pen = () => { // stands for a canvas: what was drawn on it
    const said = { moves: [], lines: [], rects: [] };
    return { said, beginPath() {}, stroke() {}, fill() {}, setLineDash() {},
      moveTo: (...at) => said.moves.push(at), lineTo: (...at) => said.lines.push(at),
      roundRect: (...at) => said.rects.push(at) };
  };
}"""
KEY = """([key, more]) => paper.sheets()[0].top.dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true, ...more }))"""


@pytest.fixture(scope="module")
def tab(browser):
    return browser.new_context().new_page()


def recording(seconds=10.0, rate_hz=500.0, name="a") -> ECG:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    rows = [np.sin(2 * np.pi * t) * (1 + row) / 10 for row in range(12)]
    return ECG(np.array(rows, dtype=np.float32), rate_hz, name, "0" * 64)


@pytest.fixture
def paper(tab):
    """Loads the file with these ECGs on the paper; `tab.evaluate` then sees `paper`."""

    def load(*ecgs: ECG | dict, kind: str = "strips"):
        given = [drawing.payload(ecg) if isinstance(ecg, ECG) else ecg for ecg in ecgs]
        tab.evaluate(LOAD, [drawing.script(), kind, given])
        # It is drawn once more when the browser has told it its width for the first time.
        tab.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        return tab

    return load


def beat(before_s: float, after_s: float, rate_hz: float, height_uv: int = 1000) -> dict:
    """A payload of a median beat: in each lead a triangle of 20 ms around R."""
    n, r_index = round((before_s + after_s) * rate_hz), round(before_s * rate_hz)
    away_s = np.abs(np.arange(n) - r_index) / rate_hz
    signal_mv = np.tile(np.clip(1 - away_s / 0.02, 0, 1) * height_uv / 1000, (12, 1))
    whole = drawing.payload(ECG(signal_mv.astype(np.float32), rate_hz, "beat"))
    return {**whole, "r_index": r_index}


def test_without_an_ecg_there_is_a_sentence_and_no_sheet(paper):
    tab = paper()
    assert tab.evaluate("paper.sheets().length") == 0
    assert "Choose a recording" in tab.locator(".ecg-empty").inner_text()


def test_decoded_samples_are_those_of_the_recording(paper):
    ecg = recording()
    tab = paper(ecg)
    got = tab.evaluate(
        """([given, lead]) => { const ecg = paper.decode(given);
          const { microvolts, sign } = paper.samplesOf(ecg, lead);
          return [Array.from(microvolts), sign]; }""",
        [drawing.payload(ecg), "-aVR"],
    )
    assert got[1] == -1
    np.testing.assert_allclose(np.array(got[0]) / 1000, ecg.lead("aVR"), atol=5.1e-4)


@pytest.mark.parametrize("speed", [25, 50])
@pytest.mark.parametrize(
    ("layout", "columns", "rows"), [("3x4", 4, 4), ("6x2", 2, 6), ("12x1", 1, 12)]
)
def test_strips_lie_side_by_side_in_time_and_fit_on_the_paper(paper, layout, columns, rows, speed):
    tab = paper(recording())
    plan = tab.evaluate(
        """([layout, speed]) => { Object.assign(paper.view, { layout, speed });
          return paper.planStrips({ start_s: 3 }); }""",
        [layout, speed],
    )
    strips = plan["strips"][:12]
    assert {strip["lead"] for strip in strips} == set(LEADS)
    assert len(plan["pulses"]) == rows
    for strip in strips:
        column = round((strip["start_s"] - 3) / (10 / columns))
        assert strip["seconds"] == 10 / columns
        assert strip["start_s"] == 3 + column * 10 / columns
        # Where a strip begins is where its time is: each one is drawn to one time axis.
        assert strip["x_mm"] == 5 + 0.2 * speed + 5 + (strip["start_s"] - 3) * speed
        assert strip["divider"] == (column > 0)
        assert strip["baseline_mm"] == plan["pulses"][strip["row"]]
    assert all(mm % 5 == 0 for mm in plan["pulses"])
    ends = [strip["x_mm"] + strip["seconds"] * speed for strip in plan["strips"]]
    assert max(ends) == plan["width_mm"] - 5
    assert max(plan["pulses"]) < plan["height_mm"]
    rhythm = plan["strips"][12:]
    assert [strip["lead"] for strip in rhythm] == (["II"] if layout == "3x4" else [])
    assert all(strip["seconds"] == 10 for strip in rhythm)


def test_cabrera_order_goes_round_the_heart(paper):
    tab = paper(recording())
    leads = tab.evaluate(
        """() => { paper.view.cabrera = true;
          return paper.planStrips({ start_s: 0 }).strips.map((strip) => strip.lead); }"""
    )
    assert leads[:6] == ["aVL", "I", "-aVR", "II", "aVF", "III"]


def test_cells_of_beats_hold_the_longest_part_before_and_after_r(paper):
    tab = paper(beat(0.30, 0.50, 500), beat(0.24, 0.62, 250), kind="beats")
    plan = tab.evaluate("paper.planBeats(paper.sheets()[0])")
    assert [strip["lead"] for strip in plan["strips"]] == list(LEADS)
    for strip in plan["strips"]:
        assert strip["start_s"] == pytest.approx(-0.30)
        assert strip["seconds"] == pytest.approx(0.92)
    first, second = plan["strips"][:2]
    assert second["x_mm"] - first["x_mm"] == math.ceil(0.92 * 25 / 5) * 5 + 5
    assert plan["strips"][5]["x_mm"] + 0.92 * 25 <= plan["width_mm"]


@pytest.mark.parametrize("width_px", [320, 777, 1440, 4000])
def test_five_millimetres_are_whole_pixels_of_the_device(paper, width_px):
    tab = paper(recording())
    for ratio in (1, 1.25, 2, 3):
        for zoom in ("fit", 1.5, 3):
            scale = tab.evaluate(
                """([width, ratio, zoom]) => {
                  Object.defineProperty(window, "devicePixelRatio",
                    { value: ratio, configurable: true });
                  paper.view.zoom = zoom;
                  const plan = paper.planStrips({ start_s: 0 });
                  return [paper.chooseScale(width, plan), plan.fit_mm]; }""",
                [width_px, ratio, zoom],
            )
            (chosen, fit_mm) = scale
            box_px = chosen["pxPerMm"] * 5 * ratio
            assert box_px == pytest.approx(round(box_px), abs=1e-6)
            wanted = min(8, width_px / fit_mm) * (1 if zoom == "fit" else zoom)
            assert wanted - 0.2 / ratio - 1e-6 < chosen["pxPerMm"] <= wanted + 1e-6


def test_a_narrow_page_shows_the_whole_sheet_or_what_can_be_read(paper):
    tab = paper(recording())
    (fit, read), ratio, fit_mm = tab.evaluate(
        """[["fit", "read"].map((zoom) => { paper.view.zoom = zoom;
          return paper.chooseScale(300, paper.planStrips({ start_s: 0 })).pxPerMm; }),
          window.devicePixelRatio, paper.planStrips({ start_s: 0 }).fit_mm]"""
    )
    assert fit == pytest.approx(math.floor(300 / fit_mm * 5 * ratio) / (5 * ratio))
    assert read == pytest.approx(3.2)


@pytest.mark.parametrize(("speed", "gain", "px_per_mm"), [(25, 10, 4), (50, 5, 3.2), (25, 20, 7)])
def test_calipers_turn_pixels_into_milliseconds_and_millivolts(paper, speed, gain, px_per_mm):
    tab = paper(recording())
    box_px = {"x": 0.2 * speed * px_per_mm, "y": 1.5 * gain * px_per_mm}  # 200 ms, 1.5 mV
    measured = tab.evaluate(
        """([speed, gain, pxPerMm, box]) => { Object.assign(paper.view, { speed, gain });
          const corners = [[0, box.y, box.x, 0], [box.x, 0, 0, box.y]];
          return corners.map(([x1, y1, x2, y2]) => paper.numbersOf({ scale: { pxPerMm },
            caliper: { a: { x: x1, y: y1 }, b: { x: x2, y: y2 } } })); }""",
        [speed, gain, px_per_mm, box_px],
    )
    assert [m["ms"] for m in measured] == pytest.approx([200, 200])  # a time has no sign
    assert [m["mv"] for m in measured] == pytest.approx([1.5, -1.5])  # up is positive


def test_arrow_keys_move_a_caliper_in_half_and_five_millimetres(paper):
    tab = paper(recording())
    for _ in range(4):
        tab.evaluate(KEY, ["ArrowRight", {}])
    tab.evaluate(KEY, ["ArrowRight", {"shiftKey": True}])
    tab.evaluate(KEY, ["ArrowUp", {"shiftKey": True}])
    read = tab.evaluate("({ ...paper.readout.dataset, text: paper.readout.textContent })")
    assert float(read["ms"]) == pytest.approx(7 / 25 * 1000, abs=0.01)
    assert float(read["mv"]) == pytest.approx(0.5, abs=1e-4)
    assert read["text"] == "280 ms  ·  214 per min  ·  0.50 mV"
    tab.evaluate(KEY, ["ArrowDown", {"shiftKey": True}])
    tab.evaluate(KEY, ["ArrowDown", {}])
    assert tab.evaluate("paper.readout.textContent").endswith("−0.05 mV")


def test_letters_choose_the_axes_and_escape_clears(paper):
    tab = paper(recording())
    tab.evaluate(KEY, ["ArrowRight", {"shiftKey": True}])
    texts = []
    for key in ("t", "t", "V", "v"):
        tab.evaluate(KEY, [key, {}])
        texts.append(tab.evaluate("paper.readout.textContent"))
    both = "200 ms  ·  300 per min  ·  0.00 mV"
    assert texts == ["200 ms  ·  300 per min", both, "0.00 mV", both]
    tab.evaluate(KEY, ["t", {"ctrlKey": True}])  # the browser's own shortcut
    assert tab.evaluate("paper.view.axes") == "both"
    tab.evaluate(KEY, ["m", {}])
    assert tab.evaluate("paper.view.march") is True
    tab.evaluate(KEY, ["Escape", {}])
    assert tab.evaluate("paper.readout.textContent") == "Drag to measure"
    assert tab.evaluate("'ms' in paper.readout.dataset") is False


def test_a_caliper_begun_on_one_sheet_takes_the_other_away(paper):
    tab = paper(recording(), recording(name="b"))
    tab.evaluate(KEY, ["ArrowRight", {}])
    tab.evaluate(KEY.replace("sheets()[0]", "sheets()[1]"), ["ArrowRight", {}])
    assert tab.evaluate("paper.sheets().map((sheet) => sheet.caliper !== null)") == [False, True]


DRAW = """([ecg, strip, k]) => { const ctx = pen();
  const reach = paper.drawStrip(ctx, paper.decode(ecg), strip, k); return [reach, ctx.said]; }"""
STRIP = {"lead": "I", "x_mm": 15, "start_s": 0, "seconds": 2.5, "baseline_mm": 25}


def test_a_sample_is_drawn_at_its_time_and_its_height(paper):
    signal_mv = np.zeros((12, 5000), dtype=np.float32)
    signal_mv[0, 500] = 1.2  # at 1 s
    tab = paper(recording())
    payload = drawing.payload(ECG(signal_mv, 500.0, "a"))
    reach_mm, said = tab.evaluate(DRAW, [payload, STRIP, 40])
    assert reach_mm == pytest.approx(12)
    assert [x / 40 for x, y in said["lines"] if y / 40 < 24] == [pytest.approx(15 + 25)]
    assert min(y / 40 for _, y in said["lines"]) == pytest.approx(25 - 12)
    assert said["lines"][-1][0] / 40 == pytest.approx(15 + 2.5 * 25)  # not beyond its column
    reach_mm, said = tab.evaluate(DRAW, [payload, {**STRIP, "start_s": 2}, 40])
    assert reach_mm == 0


def test_no_peak_is_lost_where_many_samples_share_a_pixel(paper):
    signal_mv = np.zeros((12, 20000), dtype=np.float32)
    signal_mv[0, 3333], signal_mv[0, 3334] = 2.0, -1.0
    tab = paper(recording())
    payload = drawing.payload(ECG(signal_mv, 2000.0, "a"))
    _, said = tab.evaluate(DRAW, [payload, STRIP, 3])
    heights_mm = [y / 3 for _, y in said["lines"]]
    assert len(heights_mm) < 2500 * 2  # bunched
    assert min(heights_mm) == pytest.approx(25 - 20)
    assert max(heights_mm) == pytest.approx(25 + 10)


def test_the_pen_is_lifted_over_what_is_missing(paper):
    signal_mv = np.zeros((12, 5000), dtype=np.float32)
    signal_mv[0, 500:600] = np.nan
    tab = paper(recording())
    payload = drawing.payload(ECG(signal_mv, 500.0, "a"))
    _, said = tab.evaluate(DRAW, [payload, STRIP, 40])
    assert [round((x / 40 - 15) / 25, 3) for x, _ in said["moves"]] == [0, 1.2]
    assert not any(1 < round((x / 40 - 15) / 25, 4) < 1.198 for x, _ in said["lines"])


def test_a_turned_lead_is_drawn_upside_down(paper):
    signal_mv = np.zeros((12, 5000), dtype=np.float32)
    signal_mv[LEADS.index("aVR"), 500] = -0.8
    tab = paper(recording())
    payload = drawing.payload(ECG(signal_mv, 500.0, "a"))
    _, said = tab.evaluate(DRAW, [payload, {**STRIP, "lead": "-aVR"}, 40])
    assert min(y / 40 for _, y in said["lines"]) == pytest.approx(25 - 8)


def test_the_pulse_is_a_millivolt_high_and_a_fifth_of_a_second_wide(paper):
    tab = paper(recording())
    for speed, gain in ((25, 10), (50, 20)):
        points = tab.evaluate(
            """([speed, gain]) => { Object.assign(paper.view, { speed, gain }); const ctx = pen();
              paper.drawPulse(ctx, 25, 1); return ctx.said.lines; }""",
            [speed, gain],
        )
        xs, ys = zip(*points[:4], strict=True)
        assert max(xs) - min(xs) == pytest.approx(0.2 * speed)
        assert max(ys) - min(ys) == pytest.approx(gain)


def test_the_difference_of_beats_at_two_rates_is_taken_at_equal_times(paper):
    tab = paper(beat(0.3, 0.5, 500, 1000), beat(0.26, 0.5, 250, 400), kind="beats")
    lines = tab.evaluate(
        """() => { const sheet = paper.sheets()[0]; const ctx = pen();
          const strip = paper.planBeats(sheet).strips[0];
          paper.drawDifference(ctx, sheet.ecgs, strip, 1, 1);
          return [ctx.said.lines, strip.x_mm, strip.baseline_mm]; }"""
    )
    points, x_mm, baseline_mm = lines
    zero_mm = baseline_mm + 17
    heights = {round((x - x_mm) / 25 - 0.3, 4): (zero_mm - y) / 10 for x, y in points[1:]}
    assert heights[0.0] == pytest.approx(0.6, abs=0.005)  # mV at R: 1.0 - 0.4
    assert heights[-0.2] == pytest.approx(0, abs=0.005)
    assert min(heights) >= -0.26 and max(heights) < 0.5


def test_marks_are_cut_at_their_strip_and_belong_to_one_recording(paper):
    ecg = recording()
    tab = paper(ecg)
    mark = {
        "slot": 0,
        "sha256": ecg.sha256,
        "lead": "V1",
        "start_s": 4.5,
        "seconds": 1.0,
        "strength": 1,
    }
    drawn = tab.evaluate(
        """(marks) => { paper.setMarks(marks); const sheet = paper.sheets()[0];
          return paper.drawMarks(pen(), sheet, paper.planStrips(sheet), 1); }""",
        [
            mark,
            {**mark, "slot": 1},
            {**mark, "sha256": "1" * 64},
            {**mark, "start_s": 1.0},
            {**mark, "start_s": 7.1},
        ],
    )
    # V1 is in the third column, from 5.0 to 7.5 s: of the first mark half a second lies there.
    assert [one["lead"] for one in drawn] == ["V1", "V1"]
    assert [one["x_mm"] for one in drawn] == pytest.approx([140, 192.5])
    assert [one["wide_mm"] for one in drawn] == pytest.approx([12.5, 10])


def test_names_rates_and_the_order_of_two(paper):
    tab = paper(recording(), recording(name="b"))
    assert tab.evaluate("[500, 257.123, 999.999].map(paper.formatRate)") == [
        "500",
        "257.12",
        "1000",
    ]
    order = "paper.sheets().map((sheet) => paper.orderOf(sheet, sheet.ecgs[0]))"
    assert tab.evaluate(order) == ["First (earlier): ", "Second (later): "]
    shorten = """(room) => paper.shorten({ measureText: (text) => ({ width: text.length }) },
      "a long name", room)"""
    assert tab.evaluate(shorten, 20) == "a long name"
    assert tab.evaluate(shorten, 6) == "a lon…"
    tab = paper(recording())
    assert tab.evaluate(order) == [""]


def test_a_long_recording_is_moved_along_to_its_end(paper):
    tab = paper(recording(seconds=24.5))
    slider = tab.locator("input[type=range]")
    assert slider.get_attribute("max") == "15"
    slider.fill("15")
    assert tab.evaluate("paper.sheets()[0].start_s") == pytest.approx(14.5)
    assert "14.5 to 24.5 s of " in tab.locator(".ecg-start").inner_text()
    slider.dispatch_event("change")
    assert tab.evaluate("JSON.parse(paper.root.dataset.places)") == {
        "drawing": 7,
        "start_s": [14.5, 0],
    }
    assert tab.evaluate("triggered")[-1] == "select"
