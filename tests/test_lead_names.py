"""Names and orders of leads as they come: inverted ones, none, other languages, wrong orders."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_formats import dicom_group, write_dicom, write_wfdb
from writers.edf import leads_as_signals, write_edf
from writers.scp import Coding, write_scp

from ecgqa.__main__ import main
from ecgqa.formats import read_ecg
from ecgqa.formats.leads import choose_leads, is_inverted, lead_of
from ecgqa.formats.limb_algebra import misfit, order_that_fits
from ecgqa.formats.scp.huffman import parse_tables
from ecgqa.gallery.simulate import FINDINGS, simulate
from ecgqa.record import LEADS, EcgFileError

FILES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SOME_FILES = settings(FILES, max_examples=10)
SIGNALS = {finding: np.array(simulate(finding, seconds=4).ecg.signal_mv) for finding in FINDINGS}
INVERTED = (
    "-{}", "Lead -{}", "ECG -{}", "{} (inverted)", "{} inverted", "inverted {}", "{} [inv]",
    "MDC_ECG_LEAD_{}neg", "minus {}", "–{}", "{} invertiert", "MDC_ECG_LEAD_-{}",
)  # fmt: skip
UPRIGHT = (
    "{}", "ECG-{}", "ECG - {}", "Lead: {}", "{},", "{} ,", "Derivación {}", "Dérivation {}",
    "Derivazione {}", "Derivação {}", "Ableitung {}", "Afleiding {}", "{}, mV",
)  # fmt: skip


@pytest.mark.parametrize("lead", LEADS)
def test_an_inverted_lead_is_not_the_upright_one(lead):
    for pattern, case in product(INVERTED, (str, str.upper, str.lower)):
        name = pattern.format(case(lead))
        assert lead_of(name) is None and is_inverted(name), name
    for pattern in UPRIGHT:
        name = pattern.format(lead)
        assert lead_of(name) == lead and not is_inverted(name), name


@given(
    finding=st.sampled_from(FINDINGS),
    pattern=st.sampled_from(INVERTED[:9]),
    row=st.integers(0, 5),
    kind=st.sampled_from(["csv", "dicom", "edf"]),
)
@FILES
def test_inverted_limb_leads_are_calculated_from_the_others(tmp_path, finding, pattern, row, kind):
    signal = SIGNALS[finding].astype(np.float64)
    names = list(LEADS)
    names[row], sent = pattern.format(LEADS[row])[:15], signal.copy()
    names[row] = names[row] if is_inverted(names[row]) else f"-{LEADS[row]}"
    sent[row] *= -1
    if kind == "csv":
        path = tmp_path / "a.csv"
        lines = [";".join(f"{value:.4f}" for value in sample) for sample in sent.T]
        path.write_text("\n".join([";".join(names), *lines]))
        ecg = read_ecg(path, 500, "mV")
    elif kind == "dicom":
        ecg = read_ecg(write_dicom(tmp_path / "a.dcm", dicom_group(sent, names=names)))
    else:
        ecg = read_ecg(write_edf(tmp_path / "a.edf", leads_as_signals(sent, names, 500)))
    assert np.abs(ecg.signal_mv - signal).max() < 0.02
    assert any("Inverted" in note for note in ecg.notes)


def test_names_that_end_in_a_bare_v_and_those_of_the_iec():
    for name in ("V1-V", "II-V", "V-V1"):
        assert lead_of(name) is None
    chest = [f"C{k}" for k in range(1, 7)]
    assert list(choose_leads(["I", "II", *chest]).channels) == ["I", "II", *LEADS[6:]]
    # A few places on the scalp, or a whole cap, beside an ECG are no chest leads.
    for scalp in (["C3", "C4"], [*chest, "Cz"]):
        assert list(choose_leads(["II", *scalp]).channels) == ["II"]


@given(
    name=st.sampled_from(["ECG", "ekg", "", "ECG1", "ch 1", "Channel 1", "ECG (mV)", "signal"]),
    lead=st.sampled_from(LEADS),
    finding=st.sampled_from(FINDINGS),
)
@SOME_FILES
def test_an_only_channel_without_a_leads_name_is_asked_about(tmp_path, name, lead, finding):
    signal = SIGNALS[finding][LEADS.index(lead)][None].astype(np.float64)
    path = write_edf(tmp_path / "a.edf", leads_as_signals(signal, [name], 500))
    with pytest.raises(EcgFileError) as asked:
        read_ecg(path)
    assert asked.value.wants == ("leads",) and "which lead" in str(asked.value)
    ecg = read_ecg(path, leads=lead)
    assert set(LEADS) - set(ecg.missing_leads) == {lead}
    assert np.abs(ecg.lead(lead) - signal).max() < 0.02


@given(finding=st.sampled_from(FINDINGS), order=st.permutations(range(6)), at=st.integers(0, 6))
@FILES
def test_nameless_rows_in_a_wrong_order_are_asked_about(tmp_path, finding, order, at):
    """The limb leads in any order and at any place among the chest leads."""
    rows = [*range(6, 6 + at), *order, *range(6 + at, 12)]
    sent = SIGNALS[finding][rows]
    names = ", ".join(LEADS[row] for row in rows)
    path = tmp_path / "a.npy"
    np.save(path, sent)
    given_order = read_ecg(path, 500, "mV", leads=names)
    assert np.abs(given_order.signal_mv - SIGNALS[finding]).max() < 1e-6
    left = misfit(dict(zip(LEADS, sent, strict=True))) or 0.0
    if rows == sorted(rows):
        assert left < 0.1
    try:
        ecg = read_ecg(path, 500, "mV")
    except EcgFileError as asked:
        assert asked.wants == ("leads",)
        fits = order_that_fits(sent)
        assert (", ".join(fits) in str(asked)) if fits else "order fits" not in str(asked)
    else:
        # Only an order that the limb leads cannot tell from the right one is read.
        algebra = np.abs(ecg.lead("I") + ecg.lead("III") - ecg.lead("II"))
        assert algebra.max() < 0.2 * np.abs(ecg.signal_mv[:6]).max() and left <= 0.2


def test_known_other_orders_are_proposed():
    for names in (
        "I II III aVR aVF aVL V1 V2 V3 V4 V5 V6",
        "I II V1 V2 V3 V4 V5 V6 III aVR aVL aVF",
    ):
        rows = [LEADS.index(name) for name in names.split()]
        assert order_that_fits(SIGNALS["normal"][rows]) == tuple(names.split())


def test_a_named_table_that_contradicts_itself_is_remarked_on(tmp_path):
    signal = SIGNALS["normal"].astype(np.float64)
    ecg = read_ecg(write_wfdb(tmp_path, signal[[1, 0, *range(2, 12)]], names=LEADS))
    assert any("contradict" in note for note in ecg.notes)
    assert not read_ecg(write_wfdb(tmp_path, signal, names=LEADS, name="b")).notes


@given(
    language=st.sampled_from(
        [
            ("Abtastrate", "Ableitung", "Einheit"),
            ("Messrate", "Ableitung", "Einheit"),
            ("Frecuencia de muestreo", "Derivación", "Unidad"),
            ("Fréquence d’échantillonnage", "Dérivation", "Unité"),
            ("Frequenza di campionamento", "Derivazione", "Unità"),
            ("Taxa de amostragem", "Derivação", "Unidade"),
            ("Sample Rate", "Lead", "Unit"),
        ]
    ),
    rate=st.sampled_from(["511,562", "512", "512.0", "250", "300,5"]),
    lead=st.sampled_from(["I", "II"]),
)
@FILES
def test_watch_exports_in_other_languages(tmp_path, language, rate, lead):
    rate_word, lead_word, unit_word = language
    micro = np.round(SIGNALS["normal"][0].astype(float) * 1000, 1)
    lines = [f"{value:.3f}".replace(".", ",") for value in micro]
    head = [f"{rate_word},{rate} Hertz", "", f"{lead_word},{lead_word} {lead}", f"{unit_word},µV"]
    path = tmp_path / "ecg.csv"
    path.write_text("\n".join([*head, "", *lines]))
    ecg = read_ecg(path)
    assert ecg.rate_hz == pytest.approx(float(rate.replace(",", ".")))
    assert np.abs(ecg.lead(lead) - micro / 1000).max() < 1e-4


@given(
    above=st.lists(
        st.sampled_from(["exported by,x", "date,2020", "filter,0.05-150", "device,y", "# I"]),
        max_size=8,
    ),
    pair=st.permutations(LEADS).map(lambda leads: leads[:2]),
)
@FILES
def test_headings_below_the_line_of_names(tmp_path, above, pair):
    signal = SIGNALS["normal"][[LEADS.index(lead) for lead in pair]]
    lines = [f"{one:.4f},{two:.4f}" for one, two in signal.T]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([",".join(pair), *above, *lines]))
    ecg = read_ecg(path, 500, "mV")
    for lead, sent in zip(pair, signal, strict=True):
        assert np.abs(ecg.lead(lead) - sent).max() < 1e-3


def test_a_header_may_leave_out_the_ending_of_its_file(tmp_path):
    header, data = write_wfdb(tmp_path, SIGNALS["normal"].astype(float), names=LEADS)
    header.write_text(header.read_text().replace(data.name, data.stem))
    assert read_ecg([header, data]).missing_leads == ()


def test_a_dummy_compression_table_means_none(tmp_path):
    plain = write_scp(tmp_path / "a.scp", SIGNALS["normal"], how=Coding("", 1))
    assert read_ecg(plain).missing_leads == ()
    assert parse_tables(bytes.fromhex("01000100") + bytes(9)) == ()


def test_groups_of_unknown_time_are_named(tmp_path):
    groups = [
        dicom_group(SIGNALS["normal"][k : k + 3].astype(float), names=LEADS[k : k + 3])
        for k in range(0, 12, 3)
    ]
    for group in groups:
        group.pop("MultiplexGroupTimeOffset", None)
    ecg = read_ecg(write_dicom(tmp_path / "a.dcm", *groups))
    unread = set(ecg.missing_leads)
    assert unread and any(
        note.startswith("Not read") and all(lead in note for lead in unread) for note in ecg.notes
    )


def test_the_command_line_says_notes_and_warnings(tmp_path, capsys):
    signal = SIGNALS["normal"].astype(float)
    files = [str(f) for f in write_wfdb(tmp_path, signal[[1, 0, *range(2, 12)]], names=LEADS)]
    assert main(["measure", *files]) == 0
    text = capsys.readouterr().out
    assert "Note: The limb leads contradict" in text and "Warning: " in text
    assert main(["measure", *files, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert any("contradict" in note for note in said["notes"])
    assert any("I + III" in warning for warning in said["warnings"])
    path = tmp_path / "a.npy"
    np.save(path, signal[[0, 1, 6, 7, 8, 9, 10, 11, 2, 3, 4, 5]])
    asked = ["measure", str(path), "--rate-hz", "500", "--units", "mV"]
    assert main(asked) == 2
    assert "I + III does not equal II" in capsys.readouterr().err
    assert main([*asked, "--leads", "I,II,V1,V2,V3,V4,V5,V6,III,aVR,aVL,aVF"]) == 0
