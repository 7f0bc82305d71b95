"""Two ECGs that change places, and the trend of several, in a real Chromium."""

from __future__ import annotations

import csv

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import needs_browser
from screen import (
    UPLOAD,
    ask,
    cells,
    cut_off,
    open_beats,
    papers,
    pick,
    settled,
    stand_still,
    visit,
)
from test_app import beats_mv, write_wfdb

from ecgqa.page import trend_wiring

pytestmark = needs_browser
WIDTHS = (1440, 390)


def boxes(page):
    """What the gallery's boxes of this ECG and of the comparison say."""
    return [page.locator(f"#{slot}-pick input").input_value() for slot in ("this", "other")]


def violations(page):
    found = Axe().run(page).response["violations"]
    return [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_earlier_ecg_comes_first_and_the_two_change_places(browser, url, width):
    with visit(browser, url, width=width) as page:
        pick(page, "other", "fast 100")
        papers(page, "fast 100", "steady 75")
        page.locator("table.measured th", has_text="Change").wait_for()
        heads = page.locator("table.measured th").all_inner_texts()
        assert heads == ["Measurement", "Comparison", "This ECG", "Change"]
        page.locator("table.measured", has_text="▼ −25").wait_for()
        first, swap, second = (page.locator(s).bounding_box() for s in ("#other", "#swap", "#this"))
        along = "x" if width > 1000 else "y"
        assert first[along] < swap[along] < second[along]
        ask(page, "Is it regular?").wait_for()
        page.click("#swap")
        papers(page, "steady 75", "fast 100")
        page.locator("table.measured", has_text="▲ +25").wait_for()
        assert cells(page, "Heart rate")[1:] == ["75", "100", "▲ +25"]
        assert boxes(page) == ["fast 100", "steady 75"]
        facts = ask(page, "is it slower now?").inner_text()
        assert "first ECG: steady 75 · second ECG: fast 100" in facts
        assert "Is it regular?" in page.locator("#answers").inner_text()
        page.click("#swap")
        papers(page, "fast 100", "steady 75")
        page.locator("#earlier summary", has_text="steady 75, then fast 100").wait_for()
        assert boxes(page) == ["steady 75", "fast 100"]
        page.locator("table.measured", has_text="▼ −25").wait_for()
        page.wait_for_function("""() => {  // a table that is being replaced is paler
            let e = document.querySelector("table.measured caption");
            while (e && getComputedStyle(e).opacity === "1") e = e.parentElement;
            return e === null;
        }""")
        assert cut_off(page) == [] and violations(page) == []


def test_a_moved_mark_goes_with_its_ecg_and_can_be_taken_back(browser, url):
    with visit(browser, url, width=1440) as page:
        pick(page, "other", "fast 100")
        open_beats(page)
        was = number_of(page, "This ECG")
        page.locator("#beats canvas.ecg-caliper").focus()
        for _ in range(4):
            page.keyboard.press("w")
        for _ in range(2):
            page.keyboard.press("Shift+ArrowRight")
        page.locator(".doubt", has_text="This ECG: Moved by hand: QRS end").wait_for()
        page.wait_for_function(
            "n => document.querySelector('table.measured').innerText.includes(n)", arg=str(was + 20)
        )
        page.click("#swap")
        page.locator(".doubt", has_text="Comparison: Moved by hand: QRS end").wait_for()
        assert number_of(page, "Comparison") == was + 20
        page.locator("#beats button[name=undo]").click()
        page.locator(".doubt").wait_for(state="detached")
        assert number_of(page, "Comparison") == was


def number_of(page, column):
    """The QRS duration in a column of the table."""
    at = page.locator("table.measured th").all_inner_texts().index(column)
    return int(cells(page, "QRS duration")[at].split()[-1])


def test_what_was_uploaded_and_what_was_typed_change_places(browser, url, tmp_path):
    with visit(browser, url) as page:
        page.set_input_files(
            "#this-upload input[type=file]", write_wfdb(tmp_path, "mine", beats_mv(rr_s=1.0))
        )
        papers(page, "mine")
        page.click("#swap")
        page.wait_for_function("document.querySelector('#other-pick input').value === ''")
        papers(page, "mine")
        pick(page, "this", "fast 100")
        papers(page, "mine", "fast 100")
        table = tmp_path / "bare.csv"
        table.write_text("\n".join(",".join(f"{x:.3f}" for x in row) for row in beats_mv(3).T))
        page.set_input_files("#other-upload input[type=file]", table)
        page.locator("#other-rate input").fill("500")
        page.click("#swap")
        rate = page.locator("#this-rate input")
        rate.wait_for()
        assert rate.input_value() == "500" and not page.locator("#other-rate").is_visible()
        papers(page, "fast 100")
        assert boxes(page) == ["", "fast 100"]


@pytest.mark.parametrize("width", WIDTHS)
def test_several_ecgs_become_a_trend_that_can_be_laid_on_the_paper(browser, url, width, tmp_path):
    with visit(browser, url, width=width) as page:
        page.locator("#trend button").first.click()
        panel = page.locator("#trend")
        panel.get_by_text("You say that these recordings are of one patient").wait_for()
        files = [
            path
            for name, rr_s in (("late", 0.6), ("early", 1.0))
            for path in write_wfdb(tmp_path, name, beats_mv(rr_s=rr_s))
        ]
        lone = tmp_path / "lone.hea"
        lone.write_text(files[0].read_text().replace("late", "lone"))
        page.set_input_files("#trend-upload input[type=file]", [*files, lone])
        panel.locator(".trend-left-out", has_text="lone.hea").wait_for()
        page.click("#trend-shown")
        items = panel.locator(".trend-list li")
        items.nth(2).wait_for()
        names = lambda: [  # noqa: E731
            one.input_value() for one in panel.locator("input[name=name]").all()
        ]
        assert names() == ["early", "late", "steady 75"]
        for i, date in enumerate(("2024-03-01", "2024-06-01", "2024-04-15")):
            items.nth(i).locator("input[name=date]").fill(date)
        panel.get_by_text("Over dates, to scale.").wait_for()
        assert names() == ["early", "steady 75", "late"]
        rows = panel.locator("table.trended tbody tr")
        rows.nth(2).get_by_text("100").wait_for()
        rates = [row.locator("td").nth(2).inner_text() for row in rows.all()]
        assert rates == ["60", "▲ 75", "▲ 100"]
        items.nth(0).locator("input[name=name]").fill("<b>before</b>")
        items.nth(0).locator("input[name=name]").press("Tab")
        rows.nth(0).get_by_text("<b>before</b>").wait_for()
        assert page.evaluate("document.activeElement.name") == "date", "one can go on typing"
        point = panel.locator(".trend-charts svg").first.locator("[data-point] circle").last
        point.evaluate("e => e.scrollIntoView({block: 'center'})")  # the question's bar lies below
        point.click()
        chosen = panel.locator(".trend-chosen")
        assert "2024-06-01 late: 100 per min" in chosen.inner_text()
        chosen.get_by_role("button", name="Lay it as this ECG").click()
        papers(page, "late")
        items.nth(0).get_by_text("As comparison").click()
        papers(page, "early", "late")
        assert boxes(page) == ["", ""]
        page.locator("table.measured", has_text="▲ +40").wait_for()
        with page.expect_download() as waited:
            page.click("#trend-csv")
        kept = list(csv.reader(waited.value.path().read_text("utf-8-sig").splitlines()))
        assert [row[0] for row in kept[1:4]] == ["2024-03-01", "2024-04-15", "2024-06-01"]
        assert cut_off(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(page) == []
        page.click("#trend-forget")
        items.first.wait_for(state="detached")
        assert panel.locator(".trend-charts svg").count() == panel.locator("table").count() == 0


def test_files_for_the_trend_may_come_while_others_are_read(
    browser, url, gate, tmp_path, monkeypatch
):
    """gradio's box fails if it is emptied while a file is on its way; none of them is lost."""
    read = trend_wiring.read_ecg

    def slowly(files):
        if files[0].name.startswith("slow"):
            gate.stop()
        return read(files)

    monkeypatch.setattr(trend_wiring, "read_ecg", slowly)
    with visit(browser, url, width=1440) as page:
        page.locator("#trend button").first.click()
        box = "#trend-upload input[type=file]"
        page.set_input_files(box, write_wfdb(tmp_path, "slow", beats_mv(rr_s=1.0)))
        gate.reached()
        on_its_way = []
        page.route(UPLOAD, lambda route: on_its_way.append(route))
        with page.expect_request(UPLOAD):
            page.set_input_files(box, write_wfdb(tmp_path, "quick", beats_mv(rr_s=0.6)))
        gate.open()
        names = page.locator("#trend .trend-list input[name=name]")
        names.first.wait_for()
        stand_still(page)
        page.unroute(UPLOAD)
        on_its_way[0].continue_()
        names.nth(1).wait_for()
        settled(page)
        assert [one.input_value() for one in names.all()] == ["slow", "quick"]
        assert page.locator("#trend-left-out").inner_text().strip() == ""


def test_what_was_typed_last_is_drawn_last(browser, url, gate, monkeypatch):
    draw = trend_wiring.charts_html

    def slowly(points):
        if [point.date for point in points] == ["2024-03-01", ""]:
            gate.stop()
        return draw(points)

    monkeypatch.setattr(trend_wiring, "charts_html", slowly)
    with visit(browser, url, width=1440) as page:
        pick(page, "other", "fast 100")
        page.locator("#trend button").first.click()
        page.click("#trend-shown")
        panel = page.locator("#trend")
        dates = panel.locator(".trend-list input[name=date]")
        dates.nth(1).wait_for()
        settled(page)
        dates.nth(0).fill("2024-03-01")
        gate.reached()
        with page.expect_response(lambda response: "/queue/join" in response.url):
            dates.nth(1).fill("2024-06-01")
        stand_still(page)  # where it is not put off, it is drawn now
        gate.open()
        settled(page)
        panel.get_by_text("Over dates, to scale.").wait_for()


def test_without_dates_the_user_orders_and_takes_out(browser, url):
    with visit(browser, url, width=1440) as page:
        page.locator("#trend button").first.click()
        panel = page.locator("#trend")
        for name in ("steady 75", "fast 100"):
            page.click("#trend-pick input")
            page.get_by_role("option", name=name, exact=True).last.click()
            panel.locator(f".trend-list input[value='{name}']").wait_for()
        assert page.locator("#trend-pick input").input_value() == ""
        panel.get_by_text("Not all have a date").wait_for()
        panel.get_by_role("button", name="Move down recording 1").click()
        panel.locator("li").nth(1).locator("input[value='steady 75']").wait_for()
        panel.get_by_role("button", name="Remove recording 1").click()
        panel.locator("li").nth(1).wait_for(state="detached")
        assert panel.locator(".trend-charts svg").first.locator("[data-point]").count() == 1
