"""Answers, their evidence and the dependence test, in a real Chromium."""

from __future__ import annotations

import threading

import pytest
from chromium import needs_browser, tried_twice
from pypdf import PdfReader
from screen import (
    BEATS,
    STRIPS,
    ask,
    geometry,
    pick,
    settled,
    visit,
)
from test_app import (
    FakeAssistant,
    beats_mv,
    served,
    served_as_command,
    write_wfdb,
)

from ecgqa import INTENDED_USE

pytestmark = [needs_browser, tried_twice]


@pytest.fixture
def step():
    """Each release lets `FakeAssistant` say a word; at the end it may say all that it has left."""
    made = threading.Semaphore(0)
    yield made
    made.release(1000)


def test_p7_measurements_of_both_and_their_change(page):
    pick(page, "other", "fast 100")
    rate = page.locator("table.measured tr", has_text="Heart rate")
    rate.get_by_text("−25").wait_for()
    assert rate.locator("td").all_inner_texts()[1:] == ["100", "75", "▼ −25"]
    caption = page.locator("table.measured caption").inner_text()
    assert caption == "Measurements (algorithm, not the language model)"


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
