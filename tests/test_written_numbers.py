"""Numbers written as text mean the same whatever release of a library reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from writers.aecg import sequence_set, series, write_aecg
from writers.cardiosoft import block, write_cardiosoft
from writers.edf import Written, leads_as_signals, write_edf
from writers.muse import waveform, write_muse

from ecgqa.formats import read_ecg
from ecgqa.formats.xml_tree import number_in
from ecgqa.record import ECG, EcgFileError

RATE_HZ, AT = 100, 150
NAMES = ("I", "II", "V1")
MARK = 7531
"""A sample's steps that occur nowhere else: where it is written, the text under test is put."""
DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NO_VALUE = {"nan", "inf", "+inf", "-inf"}
WORDS_OF_TABLES = {*NO_VALUE, "-nan", "infinity", "-infinity", "+infinity", "-", "na", "none"}


def signal_mv(step_mv: float) -> np.ndarray:
    """[3, 300] mV of a slow wave, with the marked sample in lead II."""
    wave_mv = 5 * np.sin(np.arange(300) / 20)
    leads_mv = np.stack([0.5 * wave_mv, wave_mv, 0.2 * wave_mv])
    leads_mv[1, AT] = MARK * step_mv
    return leads_mv


def table(separator: str) -> Callable[[Path, str], Path]:
    def write(folder: Path, text: str) -> Path:
        rows = [[f"{v:.3f}" for v in row] for row in signal_mv(0.001).T]
        rows[AT][1] = text
        path = folder / "a.csv"
        names = separator.join(f"{name} (mV)" for name in NAMES)
        path.write_text("\n".join([names, *map(separator.join, rows)]), encoding="utf-8")
        return path

    return write


def in_place_of_the_mark(path: Path, text: str) -> Path:
    content = path.read_text("utf-8")
    assert len(re.findall(rf"\b{MARK}\b", content)) == 1
    path.write_text(re.sub(rf"\b{MARK}\b", lambda _: text, content), "utf-8")
    return path


def aecg(folder: Path, text: str) -> Path:
    found = sequence_set(signal_mv(0.001), NAMES, RATE_HZ, step_uv=1)
    return in_place_of_the_mark(write_aecg(folder / "a.xml", series(found)), text)


def cardiosoft(folder: Path, text: str) -> Path:
    found = block("StripData", signal_mv(0.005), NAMES, RATE_HZ)
    return in_place_of_the_mark(write_cardiosoft(folder / "a.xml", found, encoding="utf-8"), text)


def muse(folder: Path, text: str) -> Path:
    found = waveform(signal_mv(0.001), NAMES, base=RATE_HZ, step_uv=1, written_out=True)
    return in_place_of_the_mark(write_muse(folder / "a.xml", found, encoding="utf-8"), text)


FAMILIES = {
    "comma": (table(","), 1.0, WORDS_OF_TABLES), "semicolon": (table(";"), 1.0, WORDS_OF_TABLES),
    "tab": (table("\t"), 1.0, WORDS_OF_TABLES), "space": (table(" "), 1.0, WORDS_OF_TABLES),
    "aECG": (aecg, 0.001, NO_VALUE), "CardioSoft": (cardiosoft, 0.005, NO_VALUE),
    "MUSE": (muse, 0.001, NO_VALUE),
}  # fmt: skip


def meaning(text: str, no_value: set[str]) -> float | None:
    """The number, NaN for what stands for no value, None for what is to be refused."""
    if text.casefold() in no_value:
        return math.nan
    number = float(text) if DECIMAL.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def read(path: Path) -> ECG | None:
    """None where it is refused."""
    try:
        return read_ecg([path], rate_hz=RATE_HZ)
    except EcgFileError as error:
        assert "damaged or not what its name says" not in str(error), "a sentence of its own"
        return None


LIKE_NUMBERS = st.one_of(
    st.from_regex(DECIMAL, fullmatch=True),
    st.floats(allow_nan=True).map(repr),
    st.text("0123456789+-.eExXpPd_jJ", min_size=1, max_size=8),
    st.text("0159.naifNAIFty+-", min_size=1, max_size=9),
    st.sampled_from(["1٣", "²", "1e400", "9" * 400, "1" + "0" * 90, "1e-400", "True", "0x1p3"]),
).filter(lambda text: len(text) < 450)


@pytest.mark.parametrize("family", FAMILIES)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example("1e400")
@example("-1e400")
@example("1e-400")
@example("INF")
@example("NaN")
@example("0x1p3")
@example("1_000")
@example("٣")
@example("1e308")
@given(text=LIKE_NUMBERS)
def test_a_sample_written_as_text(tmp_path, family, text):
    write, per_step_mv, no_value = FAMILIES[family]
    wanted = meaning(text, no_value)
    if family in ("comma", "semicolon", "tab", "space") and len(text) > 99:
        wanted = wanted if wanted is None else math.nan  # far beyond any voltage, however long
    ecg = read(write(tmp_path, text))
    if wanted is None:
        assert ecg is None, f"{text} was read as {ecg and ecg.lead('II')[AT]}"
        return
    assert ecg is not None, f"{text} was refused"
    seen_mv = float(ecg.lead("II")[AT])
    if abs(wanted * per_step_mv) < 1e30:
        assert seen_mv == pytest.approx(wanted * per_step_mv, rel=1e-5, abs=1e-30)
    elif abs(wanted * per_step_mv) > 1e39 or math.isnan(wanted):
        assert math.isnan(seen_mv), "what is no voltage is missing"


@settings(max_examples=300, deadline=None)
@example("1e400")
@example("٣")
@given(text=LIKE_NUMBERS)
def test_an_attribute_of_xml(text):
    wanted = meaning(text, set())
    seen = number_in(text)
    assert seen is None or seen == wanted
    if wanted is not None and len(text) < 20 and "e" not in text.casefold():
        assert seen == wanted


@pytest.mark.parametrize("text", ["1e400", "inf", "nan", "0x10", "1_0", "1e99999"])
def test_headers_with_numbers_that_are_none(tmp_path, text):
    """EDF's range and WFDB's gain: a refusal or a question, never a flat line."""
    signals = leads_as_signals(signal_mv(0.001), NAMES, per_record=RATE_HZ)
    edf = write_edf(tmp_path / "a.edf", signals, Written())
    content = bytearray(edf.read_bytes())
    first = 256 + 3 * (16 + 80 + 8)  # the lowest physical value of the first signal
    content[first : first + 8] = text.encode().ljust(8)
    edf.write_bytes(content)
    assert read(edf) is None
    steps = np.rint(signal_mv(0.001) * 1000).astype("<i2")
    (tmp_path / "b.dat").write_bytes(steps.T.tobytes())
    lines = [f"b 3 {RATE_HZ} 300", *(f"b.dat 16 {text}/mV 16 0 0 0 0 {name}" for name in NAMES)]
    (tmp_path / "b.hea").write_text("\n".join(lines) + "\n")
    try:
        ecg = read_ecg([tmp_path / "b.hea", tmp_path / "b.dat"])
    except EcgFileError:
        return
    assert np.ptp(ecg.lead("II")[np.isfinite(ecg.lead("II"))]) > 1
