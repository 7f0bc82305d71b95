"""The small cases of `$ECGQA_DATA/cases`: each is a kind of fault that real files have."""

from __future__ import annotations

import pytest

from ecgqa.formats import read_ecg
from ecgqa.measure import measure
from ecgqa.record import LEADS, EcgFileError

GIVEN = {
    "csv_names_first_line": (250, "mV"), "name_minus_I_csv": (250, "mV"),
    "order_mimic_iv": (500, "mV"), "order_sssd": (500, "mV"),
    "cli_measure_warnings": (500, "mV"), "tail_zero_code15": (250, "mV"),
}  # fmt: skip
# Folder → leads that must be there, rate in 1/min, what must be remarked on.
READ = {
    "apple_de": ("I", 70, ""), "apple_es": ("I", 70, ""), "ask_heart_rate": ("II", 70, ""),
    "csv_names_first_line": ("I II", 70, ""), "groups_no_offset_dicom": ("I", 70, "Not read: aVR"),
    "hea_without_mat": ("II V5", 70, ""), "name_minus_I_csv": ("II", 70, "ECG -I"),
    "name_neg_avr_dicom": ("aVR", 70, "Inverted"), "names_with_comma": ("II aVR", 70, ""),
    "ok_cardiosoft_neg_avr": ("aVR", 70, "Inverted"), "ok_dicom_nul_labels": ("V6", 70, ""),
    "ok_edf_inverted_range": ("II", 70, ""), "ok_edf_open_length": ("II", 70, ""),
    "ok_ishne_total": ("I II", 70, ""), "ok_mgh_zero_length": ("II", 70, ""),
    "ok_muse_15_leads": ("V1 V6", 70, "V3R, V4R, V7"), "ok_negative_gain": ("II", 70, ""),
    "ok_rdsamp_csv": ("I II", 70, ""), "scan_3x4_axis": ("I II", 70, ""),
    "scp_dummy_table": ("I", 70, ""), "sequential_scp": ("I V6", 70, "not all recorded"),
    "tail_zero_code15": ("II", 70, ""),
}  # fmt: skip
ASKED = ("edf_named_ecg", "order_mimic_iv", "order_sssd", "cli_measure_warnings")


@pytest.fixture
def case(ecg_data, request):
    folder = ecg_data / "cases" / request.param
    if not folder.is_dir():
        pytest.skip("the cases are not here: set ECGQA_DATA to the folder that holds them")
    files = [path for path in folder.iterdir() if path.name != "expected.txt"]
    return request.param, files, GIVEN.get(request.param, (None, None))


@pytest.mark.parametrize("case", READ, indirect=True)
def test_cases_that_are_read(case):
    name, files, given = case
    leads, rate, note = READ[name]
    ecg = read_ecg(files, *given)
    numbers = measure(ecg)
    assert not set(leads.split()) & set(ecg.missing_leads)
    assert numbers.rate_bpm == pytest.approx(rate, abs=2) and numbers.regular
    assert any(note in text for text in ecg.notes) or not note
    if name == "name_minus_I_csv":
        assert "I" in ecg.missing_leads
    if "neg_avr" in name:
        assert abs(ecg.lead("aVR") + (ecg.lead("I") + ecg.lead("II")) / 2).max() < 0.01
    if name in ("ok_edf_inverted_range", "ok_negative_gain"):
        assert numbers.leads["II"].r_mv > 0.7
    if name == "scan_3x4_axis":
        assert numbers.qrs_axis_deg == pytest.approx(45, abs=10)
        assert numbers.rr_spread_ms is not None and numbers.rr_spread_ms < 20


@pytest.mark.parametrize("case", ASKED, indirect=True)
def test_cases_that_ask_which_lead_is_which(case):
    _, files, given = case
    with pytest.raises(EcgFileError) as asked:
        read_ecg(files, *given)
    assert asked.value.wants == ("leads",)


def test_the_case_of_one_column_with_the_lead_given(ecg_data):
    path = ecg_data / "more_cases" / "one_column_leads" / "ecg.csv"
    if not path.exists():
        pytest.skip("the cases are not here: set ECGQA_DATA to the folder that holds them")
    ecg = read_ecg(path, 250, "mV", leads="II")
    assert set(LEADS) - set(ecg.missing_leads) == {"II"}
    assert measure(ecg).rate_bpm == pytest.approx(70, abs=2)
