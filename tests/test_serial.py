"""ECGs of one patient one after another: two that change places, more as a trend, and the words."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from test_app import EVIL_NAME, FakeAssistant, FakeGallery, beats_mv, write_wfdb

from ecgqa import EcgAssistant, measure
from ecgqa.gallery.simulate import simulate
from ecgqa.page import asking, looking, trend
from ecgqa.page.desk import NO_COMPARISON, Desk, Waiting
from ecgqa.page.export import Said
from ecgqa.page.loader import ModelLoader
from ecgqa.page.trend_view import CHARTED, charts_html, list_html
from ecgqa.page.wiring import handed_out, rows
from ecgqa.question import kinds
from ecgqa.question.comparison import as_change, asks_of_two
from ecgqa.question.reading import Reading
from ecgqa.record import ECG, EcgFileError

GALLERY = FakeGallery()
STEADY, FAST, LONG = (GALLERY.open(name) for name in ("steady 75", "fast 100", "one minute"))


@pytest.fixture
def desk():
    """A session with a fast ECG and an earlier, steady one."""
    made = Desk()
    looking.choose(made, 0, "fast 100", GALLERY)
    looking.choose(made, 1, "steady 75", GALLERY)
    looking.draw(made)
    return made


# Two that change places -------------------------------------------------------------------------


def test_two_ecgs_change_places_with_their_boxes_and_the_change_turns_round(desk):
    assert "<td>75</td><td>100</td><td>▲ +25</td>" in looking.measure_both(desk)[0]
    desk.swap()
    assert [ecg.name for ecg in desk.ecgs] == ["steady 75", "fast 100"]
    assert [looking.box_of(desk, place) for place in (0, 1)] == ["steady 75", "fast 100"]
    looking.draw(desk)
    assert "<td>100</td><td>75</td><td>▼ −25</td>" in looking.measure_both(desk)[0]
    assert not looking.choose(desk, 0, "steady 75", GALLERY), "the box tells what lies there"
    header = handed_out("csv", desk)
    assert header["name"] == "steady_75.csv"


def test_one_ecg_moves_to_the_comparison_and_back():
    desk = Desk()
    looking.choose(desk, 0, "steady 75", GALLERY)
    desk.swap()
    assert desk.ecgs == [None, STEADY]
    assert [looking.box_of(desk, place) for place in (0, 1)] == [None, "steady 75"]
    desk.swap()
    assert [looking.box_of(desk, place) for place in (0, 1)] == ["steady 75", NO_COMPARISON]


def test_an_upload_on_its_way_goes_with_its_place(desk):
    def read(taken):
        desk.swap()
        return LONG

    assert looking.read(desk, 0, list, "mine", read) == (True, "")
    assert desk.ecgs == [STEADY, LONG]
    assert [looking.box_of(desk, place) for place in (0, 1)] == ["steady 75", None]


def test_what_fails_or_waits_for_facts_does_so_in_the_place_it_came_to(desk):
    def fails(taken):
        desk.swap()
        raise EcgFileError("Which lead is it?", wants=("leads",) if taken else ())

    with pytest.raises(EcgFileError):
        looking.read(desk, 0, list, "bad.csv", fails)
    assert desk.ecgs == [STEADY, None] and desk.refused == ["", "bad.csv"]
    assert looking.read(desk, 1, lambda: [("one.csv", b"1")], "one.csv", fails)[0]
    assert desk.ecgs == [None, STEADY] and [bool(one) for one in desk.pending] == [True, False]
    assert [row.visible for row in rows(desk)] == [True, False]
    assert looking.read(desk, 0, lambda: desk.pending[0], "one.csv", lambda taken: LONG)[0]
    assert desk.ecgs == [LONG, STEADY] and desk.pending == [None, None]


def test_a_newer_recording_for_a_place_outruns_one_that_was_exchanged(desk):
    turn = desk.turn(0)
    desk.swap()
    looking.choose(desk, 1, "one minute", GALLERY)
    assert not desk.settle(0, turn, FAST)
    assert desk.ecgs[1] is LONG


def test_an_ecg_that_is_not_on_the_paper_yet_never_inherits_seconds_or_marks(desk):
    """It was placed, and the places exchanged, before the paper was drawn anew."""
    looking.measure_both(desk)
    assert desk.move_marks(desk.beats, [{"qrs_off": 0.1}, {}])
    desk.settle(0, desk.turn(0), LONG)
    desk.swap()
    looking.draw(desk)
    assert [one and one.name for one in desk.drawn.seen] == ["steady 75", "one minute"]
    assert desk.by_hand == [{}, {}]


def test_marks_and_seconds_go_with_their_ecg_and_can_still_be_taken_back():
    desk = Desk()
    looking.choose(desk, 0, "one minute", GALLERY)
    looking.choose(desk, 1, "steady 75", GALLERY)
    drawing = looking.draw(desk)[0]
    assert desk.walk({"drawing": drawing, "start_s": [20, 0]})
    _, beats, _ = looking.measure_both(desk)
    found = dict(beats["ecgs"][0]["waves"])
    marks = {**found, "qrs_off": found["qrs_off"] + 0.02}
    assert looking.move_marks(desk, {"id": beats["id"], "marks": [marks, {}]})
    desk.swap()
    assert looking.move_marks(desk, {"id": beats["id"], "marks": [marks, {}]}) is None
    assert not desk.walk({"drawing": drawing, "start_s": [20, 0]}), "told by the paper of before"
    _, shown, *_ = looking.draw(desk)
    assert [one["start_s"] for one in shown["ecgs"]] == [0, 20]
    table, beats, _ = looking.measure_both(desk)
    assert "Comparison: Moved by hand: QRS end" in table and "This ECG: Moved" not in table
    other = beats["ecgs"][1]
    assert other["waves"]["qrs_off"] == pytest.approx(marks["qrs_off"])
    assert other["found"]["qrs_off"] == pytest.approx(found["qrs_off"])
    assert beats["ecgs"][0]["found"] is None


def test_answers_stay_with_their_ecgs_and_those_of_a_pair_with_its_order(desk):
    this, other = desk.ecgs
    of_one = desk.add(Waiting("one", this, None), "", Said("one", "a", ""))
    of_both = desk.add(Waiting("both", this, other), "", Said("both", "a", ""))
    assert desk.shown == [of_one, of_both]
    desk.swap()
    assert desk.shown == [of_one] and desk.folded == [of_both], "first and second are others now"
    desk.swap()
    assert desk.shown == [of_one, of_both]


def test_a_question_that_waits_is_about_the_ecgs_it_was_asked_of(desk):
    loader = ModelLoader(lambda progress: FakeAssistant(), str)
    loader.start()
    asking.put(desk, None, "is it slower now?", asking.BY_WORDING)
    assert [ecg.name for ecg in desk.waiting.ecgs] == ["steady 75", "fast 100"]
    desk.swap()
    frames = list(asking.converse(desk, loader))
    assert all("slower" not in str(frame) or "Not on the page" in frame[1] for frame in frames)
    (turn,) = desk.folded
    assert turn.names == ("steady 75", "fast 100") and desk.shown == []
    asking.put(desk, None, "is it slower now?", asking.BY_WORDING)
    assert [ecg.name for ecg in desk.waiting.ecgs] == ["fast 100", "steady 75"]


# A trend ----------------------------------------------------------------------------------------


def files_of(folder, *recordings):
    """Uploaded files of several recordings: name and content of each."""
    paths = [path for name, signal in recordings for path in write_wfdb(folder, name, signal)]
    return [(path.name, path.read_bytes()) for path in paths]


@pytest.fixture
def series(tmp_path):
    """A session whose trend holds three recordings that became faster, the last one added first."""
    made = Desk()
    rates = [(name, beats_mv(rr_s=s)) for name, s in (("c", 0.6), ("a", 1.0), ("b", 0.8))]
    assert trend.add_files(made, files_of(tmp_path, *rates)) == []
    return made


def typed(desk, **dates):
    """What the list tells: each recording's name and the date typed for it."""
    return [
        {"key": p.key, "name": p.name, "date": dates.get(p.ecg.name, ""), "time": ""}
        for p in desk.trend
    ]


def test_files_of_several_recordings_are_grouped_measured_and_ordered_by_date(series):
    assert [p.ecg.name for p in series.trend] == ["a", "b", "c"]
    moved = trend.edit(series, typed(series, a="2024-03-05", b="2023-01-31", c="2025-01-01"))
    assert moved and [p.ecg.name for p in series.trend] == ["b", "a", "c"]
    assert [round(p.measured.rate_bpm) for p in series.trend] == [75, 60, 100]
    assert not trend.edit(series, typed(series, a="2024-03-05", b="2023-01-31", c="2025-01-01"))


def test_what_was_typed_last_counts_however_late_the_rest_is_heard(series):
    first, last = typed(series), typed(series, a="2024-03-05")
    trend.edit(series, last, 2.0)
    trend.edit(series, first, 1.0)
    assert [p.date for p in series.trend] == ["2024-03-05", "", ""]


def test_without_every_date_the_users_order_counts(series):
    trend.edit(series, typed(series, c="2020-01-01"))
    assert [p.ecg.name for p in series.trend] == ["a", "b", "c"]
    trend.move(series, series.trend[2].key, -1)
    assert [p.ecg.name for p in series.trend] == ["a", "c", "b"]
    assert "Not all have a date" in charts_html(series.trend)
    trend.remove(series, series.trend[0].key)
    assert [p.ecg.name for p in series.trend] == ["c", "b"]


@pytest.mark.parametrize(
    ("date", "time"), [("31.1.2023", ""), ("2023-02-30", ""), ("2023-01-31", "x")]
)
def test_what_is_no_date_is_refused_in_plain_words(series, date, time):
    row = {"key": series.trend[0].key, "name": "a", "date": date, "time": time}
    with pytest.raises(EcgFileError, match="is no date: please give it as"):
        trend.edit(series, [row])


def test_what_cannot_be_read_is_named_and_left_out(tmp_path):
    desk = Desk()
    files = files_of(tmp_path, ("good", beats_mv()), ("lost", beats_mv(rr_s=1.0)))
    files = [file for file in files if file[0] != "lost.dat"]
    files += [("notes.docx", b"x"), ("good.hea", b"another")]
    said = "\n".join(trend.add_files(desk, files))
    assert [p.name for p in desk.trend] == ["good"]
    for words in ("lost.hea: ", "lost.dat", "notes.docx: no ECG", "good.hea: there are two files"):
        assert words in said
    assert trend.add_ecgs(desk, [desk.trend[0].ecg]) == ["good: it is there already."]
    with pytest.raises(KeyError):  # what this gallery says to a name that it does not know
        trend.add_named(desk, "unknown", GALLERY.open)


def test_a_file_that_leaves_something_unsaid_says_where_that_is_asked_for():
    table = "\n".join(",".join(f"{x:.3f}" for x in row) for row in beats_mv(3).T).encode()
    (said,) = trend.add_files(Desk(), [("bare.csv", table)])
    assert said.startswith("bare.csv: ") and said.endswith("where that is asked for.")


def test_a_trend_holds_twenty_and_says_so():
    desk = Desk()
    many = [ECG(beats_mv(2), 500, f"n{i}", f"{i:064x}") for i in range(22)]
    left_out = trend.add_ecgs(desk, many)
    assert len(desk.trend) == trend.MOST == 20
    assert left_out == [f"n{i}: a trend holds at most 20 recordings." for i in (20, 21)]


def test_what_is_read_for_a_trend_that_was_forgotten_is_not_added(series):
    def opened(name):
        series.forget_trend()
        return STEADY

    assert trend.add_named(series, "steady 75", opened) == [] and series.trend == []
    turn = series.trend_turn
    trend.add(series, turn, STEADY)
    series.clear()
    trend.add(series, turn, FAST)
    assert series.trend == [], "forgotten with the session"


def test_a_recording_of_the_trend_is_laid_on_the_paper(series):
    looking.choose(series, 0, "steady 75", GALLERY)
    keys = [p.key for p in series.trend]
    trend.lay(series, keys[0], 1)
    trend.lay(series, keys[2], 0)
    assert [ecg.name for ecg in series.ecgs] == ["c", "a"]
    assert [looking.box_of(series, place) for place in (0, 1)] == [None, None]
    with pytest.raises(EcgFileError, match="not in the trend any more"):
        trend.lay(series, "gone", 0)


def charts(points):
    """The drawings of a trend, as XML."""
    page = charts_html(points)
    return [
        ElementTree.fromstring(f"<svg{part.split('</svg>')[0]}</svg>")
        for part in page.split("<svg")[1:]
    ]


def heights(svg):
    """How far from the upper edge the points of a chart lie, from left to right."""
    dots = [c for c in svg.iter("circle") if c.get("class") != "reach"]
    return [float(c.get("cy")) for c in sorted(dots, key=lambda c: float(c.get("cx")))]


def test_charts_show_every_number_in_its_place_beside_the_normal_range(series):
    drawn = charts(series.trend)
    assert len(drawn) == len(CHARTED)
    rate = drawn[0]
    assert "normal" in [rect.get("class") for rect in rate.iter("rect")]
    first, second, third = heights(rate)
    assert first > second > third, "60, 75 and 100 per min"
    (band,) = rate.iter("rect")
    top, high = float(band.get("y")), float(band.get("height"))
    assert third == pytest.approx(top, abs=0.2), "100 is the upper limit"
    assert first == pytest.approx(top + high, abs=0.2), "60 is the lower one"
    said = [g.get("data-said") for g in rate.iter("g")]
    assert said[0] == "a: 60 per min"


@pytest.mark.parametrize(
    ("age", "sex", "said"),
    [
        (None, "", "the normal range in adults"), (40.0, "female", "the normal range in women"),
        (6.0, "female", "the normal range in girls, 5 to 8 years"), (0.01, "", ""),
    ],
)  # fmt: skip
def test_charts_say_whose_normal_range_they_show(series, age, sex, said):
    points = [
        replace(p, measured=replace(p.measured, age_years=age, sex=sex)) for p in series.trend
    ]
    page = charts_html(points)
    assert said in page and ("Green" in page) == bool(said) == ('class="normal"' in page)


def test_dates_are_drawn_to_scale_where_points_stay_apart(series):
    trend.edit(series, typed(series, a="2024-01-01", b="2024-01-11", c="2024-01-31"))
    places = [float(c.get("cx")) for c in charts(series.trend)[0].iter("circle")
              if c.get("class") != "reach"]  # fmt: skip
    assert (places[1] - places[0]) * 2 == pytest.approx(places[2] - places[1], abs=0.2)
    trend.edit(series, typed(series, a="2001-01-01", b="2024-01-30", c="2024-01-31"))
    places = [float(c.get("cx")) for c in charts(series.trend)[0].iter("circle")
              if c.get("class") != "reach"]  # fmt: skip
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)
    assert "evenly spaced" in charts_html(series.trend)


def test_an_axis_goes_the_shorter_way_round(series):
    axes = (170.0, -170.0)
    points = [
        replace(p, measured=replace(p.measured, qrs_axis_deg=axis))
        for p, axis in zip(series.trend, axes, strict=False)
    ]
    row = next(i for i, row in enumerate(CHARTED) if row.unit == "°")
    one, two = heights(charts(points)[row])
    whole = 150 - 36
    assert 0 < one - two < whole / 5, "20 degrees apart, not 340"


def test_nothing_of_the_user_becomes_markup_or_a_formula(series):
    rows = typed(series)
    rows[0]["name"], rows[1]["name"] = EVIL_NAME[:80], "=HYPERLINK(1)"
    trend.edit(series, rows)
    page = list_html(series.trend) + charts_html(series.trend)
    assert "<img" not in page and 'onerror="' not in page
    assert len(charts(series.trend)) == len(CHARTED), "well-formed"
    table = list(csv.reader(io.StringIO(trend.trend_csv(series.trend))))
    assert table[2][2] == "'=HYPERLINK(1)"
    assert len(table) == 5 and table[1][-1] == series.trend[0].ecg.sha256
    heads = table[0]
    assert float(table[1][heads.index("Heart rate (per min)")]) == pytest.approx(60, abs=0.5)
    assert "one patient" in table[-1][2]


def test_what_changed_since_the_recording_before_is_marked(series):
    page = charts_html(series.trend)
    assert "<td>▲ 75</td>" in page and "<td>▲ 100</td>" in page and "<td>60</td>" in page


def test_real_recordings_of_one_patient_become_a_trend(ecg_data):
    """PTB-XL 961 and 973, header and data of both handed over at once."""
    desk, folder = Desk(), ecg_data / "ptbxl/records100/00000"
    files = [folder / f"{n}_lr{end}" for n in ("00973", "00961") for end in (".dat", ".hea")]
    assert trend.add_files(desk, [(file.name, file.read_bytes()) for file in files]) == []
    assert [p.name for p in desk.trend] == ["00961_lr", "00973_lr"]
    for point in desk.trend:
        assert f"{point.name}: {point.measured.rate_bpm:.0f} per min" in charts_html(desk.trend)


# The words --------------------------------------------------------------------------------------

OF_TWO = (
    "is the rate faster?", "any significant change?", "is it slower now?",
    "has the QTc got longer?", "what is different?", "Is the heart rate higher now?",
    "Is the PR longer?", "Is the QRS wider?", "Is the QRS any wider than it was?",
    "Has the rate come down?", "Has it slowed?", "Did the QT shorten?",
    "Is the axis more to the left now?", "Are the voltages bigger?", "Any relevant differences?",
    "Has it got worse?", "Is the QTc longer or shorter?", "How much longer is the QTc?",
    "Has the heart rate gone up?", "Did the rate drop?", "How do they compare?",
    "Is the rate the same?", "Are they identical?", "What's changed?", "Anything different?",
    "Any clinically relevant change since then?", "Is the pulse quicker this time?",
    "Palpitations since May. Is the rate faster now?", "Has the axis shifted?",
    "Any significant change in the QTc?", "is the heart going faster?", "Is R in V2 taller now?",
)  # fmt: skip
OF_ONE = (
    "is the rate fast?", "is it slow?", "Is the QTc long?", "Is the rate faster than 100?",
    "Is the QT longer than normal?", "Is the PR longer than 200 ms?",
    "Is R taller in V5 than in V6?", "Is the R wave taller in V1 or V2?",
    "Which is longer, PR or QRS?", "Which lead has the taller R?",
    "Does the PR get longer from beat to beat?", "Does the PR get progressively longer?",
    "Are some beats wider than others?", "Is the RR shorter before the pause?",
    "Is there a higher degree block?", "Is there lower lateral ischaemia?",
    "Is QTc above the upper limit?", "Are the P waves the same?", "Are all beats the same?",
    "Any ST changes?", "Are there ischaemic changes?", "Any acute changes?",
    "Is the PR interval prolonged?", "Has the patient narrow complexes?", "Did a beat drop?",
    "Is the rate higher at the end?", "How fast is the heart?", "Is the axis left or right?",
    "Are there different P wave shapes?", "Is the QRS wide or narrow?",
    "Has the patient a fast rate?", "Should the rate be lower?",
    "Is the PR the same in every beat?",
)  # fmt: skip


@pytest.mark.parametrize("question", OF_TWO)
def test_a_comparison_is_about_both_where_there_are_two(question):
    assert asks_of_two(question)
    assert asking.second_ecg(question, asking.BY_WORDING, STEADY) is STEADY


@pytest.mark.parametrize("question", OF_ONE)
def test_what_only_sounds_like_a_comparison_is_about_this_ecg(question):
    assert not asks_of_two(question)
    assert asking.second_ecg(question, asking.BY_WORDING, STEADY) is None
    assert asking.second_ecg(question, asking.BY_WORDING, None) is None


def test_comparatives_are_about_one_ecg_where_there_is_one():
    for question in ("is the rate faster?", "is it slower?", "Is the QRS wider?"):
        assert asking.second_ecg(question, asking.BY_WORDING, None) is None


@pytest.mark.parametrize(
    ("question", "kind", "quantity", "side"),
    [
        ("is the rate faster?", kinds.CHANGE, "heart rate", "above"),
        ("is it slower now?", kinds.CHANGE, "heart rate", "below"),
        ("has the QTc got longer?", kinds.CHANGE, "qt corrected", "above"),
        ("Is the QTc longer or shorter?", kinds.CHANGE, "qt corrected", ""),
        ("Is the axis more to the left now?", kinds.CHANGE, "qrs axis", "below"),
        ("Is the rate the same?", kinds.CHANGE, "heart rate", "within"),
        ("By how much is it slower?", kinds.CHANGE, "heart rate", ""),
        ("any significant change?", kinds.DIFFERENCE, "", ""),
        ("what is different?", kinds.DIFFERENCE, "", ""),
        ("is the rate fast?", "yes or no", "", ""),
        ("Has the bundle branch block got worse?", "yes or no", "", ""),
    ],
)
def test_a_comparative_asks_for_the_change_of_what_it_is_said_of(question, kind, quantity, side):
    read = as_change(Reading(question, "yes or no", ("left bundle branch block",), sure=0.3))
    assert (read.kind, read.side) == (kind, side)
    assert read.quantities == ((quantity,) if quantity else ())


def test_official_questions_about_two_ecgs_keep_their_reading(ecg_data):
    from training.data.questions import TEMPLATES
    from training.data.wordings import load_wordings

    known = load_wordings("train", ecg_data / "ecgqa/ptbxl")
    words = [w for t, said in known.items() if TEMPLATES[t].ecgs == 2 for w in said]
    turned = [w for w in words if as_change(Reading(w, "statements")).kind != "statements"]
    assert len(turned) / len(words) < 0.001


# The answers ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def assistant() -> EcgAssistant:
    return EcgAssistant.load()


SLOW, QUICK = (simulate(finding).ecg for finding in ("normal", "sinus tachycardia"))


@pytest.mark.parametrize(
    ("question", "then_quick", "then_slow"),
    [
        ("is the rate faster?", "yes", "no"),
        ("is it slower now?", "no", "yes"),
        ("any significant change?", "yes", "yes"),
        ("Is the rate the same?", "no", "no"),
    ],
)
def test_a_comparison_is_answered_from_what_was_measured(
    assistant, question, then_quick, then_slow
):
    rates = [f"{measure(ecg).rate_bpm:.0f}" for ecg in (SLOW, QUICK)]
    for ecg, other, said in ((QUICK, SLOW, then_quick), (SLOW, QUICK, then_slow)):
        answer = assistant.ask(question, ecg, comparison=other)
        assert answer.answers == (said,), answer.text
        assert all(rate in answer.text for rate in rates), answer.text


def test_a_change_within_what_repeats_is_no_change(assistant):
    later = SLOW.stretch(2.0, 8.0)
    for question in ("is the rate faster?", "any significant change?", "has the QTc got longer?"):
        answer = assistant.ask(question, later, comparison=SLOW)
        assert answer.answers == ("no",), answer.text


def test_an_open_comparison_tells_what_changed_and_judges_nothing(assistant):
    told = assistant.ask("what is different?", QUICK, comparison=SLOW)
    assert told.kind == kinds.DIFFERENCE and "Heart rate" in told.text and told.answers == ()
    worse = assistant.ask("has it got worse?", QUICK, comparison=SLOW)
    assert "for a clinician" in " ".join(worse.remarks) and worse.answers == ()
    assert worse.understood == "what changed from the first ECG to the second?"


def test_with_one_ecg_the_same_words_ask_about_it(assistant):
    answer = assistant.ask("is the rate faster?", QUICK)
    assert f"{measure(QUICK).rate_bpm:.0f}" in answer.text and len(answer.ecg_names) == 1
