"""SCP-ECG: every way of coding that the standard knows is undone, to the last step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers.scp import STEP_NV, Coding, default_code, write_scp

from ecgqa.formats import read_ecg
from ecgqa.formats.scp import huffman, looks_right
from ecgqa.gallery.simulate import simulate
from ecgqa.record import LEADS, EcgFileError

STEP_MV = STEP_NV * 1e-6
WAYS = [
    Coding(huffman, differences)
    for huffman in ("", "none", "default", "custom", "two")
    for differences in (0, 1, 2)
]


@pytest.fixture(scope="module")
def simulated():
    return simulate("normal", seconds=6, rate_hz=500)


@pytest.fixture(scope="module")
def ecg_mv(simulated) -> np.ndarray:
    return np.asarray(simulated.ecg.signal_mv)


def refused(path, *parts: str) -> None:
    with pytest.raises(EcgFileError) as error:
        read_ecg(path)
    for part in parts:
        assert part in str(error.value)


def test_the_standards_own_example():
    """EN 1064, Annex C: 28 samples in 14 bytes, by the default table and second differences.

    The bytes and samples as prEN 1064:2002 prints them, its misprinted sixth byte set right as
    noted by D. Clunie (PixelMed, com.pixelmed.scpecg.HuffmanDecoder).
    """
    data = bytes.fromhex("FF837FE0E6F1536559B65B964B9600")
    steps = huffman.decode(data, [huffman.default_table()], 28)
    samples = [13, 14]
    for step in steps[2:]:
        samples.append(step + 2 * samples[-1] - samples[-2])
    assert list(steps[:2]) == samples[:2]
    assert samples == [13, 14, 15, 14, 16, 18, 19, 20, 22, 22, 23, 23, 23, 22, 22, 20, 17, 15, 12,
                       8, 6, 3, 1, 0, -2, -2, -3, -3]  # fmt: skip


@given(st.lists(st.integers(-32768, 32767), max_size=50))
def test_the_default_table_tells_every_number(numbers):
    bits = "".join(map(default_code, numbers))
    data = int("1" + bits + "0" * (-len(bits) % 8), 2).to_bytes(len(bits) // 8 + 2, "big")
    decoded = huffman.decode(data[-((len(bits) + 7) // 8) :], [huffman.default_table()],
                             len(numbers))  # fmt: skip
    assert list(decoded) == (numbers if bits else [])


@pytest.mark.parametrize("how", WAYS, ids=lambda how: f"{how.huffman or 'plain'}{how.differences}")
def test_every_coding_is_lossless(tmp_path, ecg_mv, how):
    ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv, how=how))
    assert (ecg.rate_hz, ecg.name, ecg.notes) == (500, "a", ())
    assert np.abs(ecg.signal_mv - np.round(ecg_mv / STEP_MV) * STEP_MV).max() < 1e-6


@given(
    order=st.permutations(range(12)),
    n_leads=st.integers(1, 12),
    rate_hz=st.sampled_from([100, 125, 250, 500, 1000]),
    how=st.sampled_from(WAYS),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_leads_in_any_order_at_any_rate(tmp_path, order, n_leads, rate_hz, how):
    signal_mv = np.asarray(simulate("normal", seconds=3, rate_hz=rate_hz).ecg.signal_mv)
    rows = list(order[:n_leads])
    names = [LEADS[k] for k in rows]
    ecg = read_ecg(write_scp(tmp_path / "a", signal_mv[rows], names, rate_hz, how))
    assert ecg.rate_hz == rate_hz
    assert np.abs(ecg.signal_mv[rows] - signal_mv[rows]).max() <= STEP_MV


def test_differences_may_wrap_around(tmp_path):
    """A step from one rail to the other is more than 16 bits hold: carts let it overflow."""
    raw = np.where(np.arange(1500) // 50 % 2, 32767, -32768) * np.ones((2, 1))
    for differences in (1, 2):
        path = write_scp(
            tmp_path / "a.scp", raw * 5e-4, ["II", "V2"], how=Coding("", differences), step_nv=500
        )
        np.testing.assert_allclose(read_ecg(path).signal_mv[[1, 7]], raw * 5e-4, atol=1e-5)


def _beats(simulated, ecg_mv) -> Coding:
    """The mean beat, 250 samples with its R peak at sample 101, and where it was subtracted."""
    peaks = [round(r * 500) + 1 for r in simulated.r_peaks_s]
    peaks = [peak for peak in peaks if 101 <= peak <= ecg_mv.shape[1] - 150]
    pieces = np.stack([ecg_mv[:, peak - 101 : peak + 149] for peak in peaks])
    return Coding("default", 2, peaks, pieces.mean(axis=0), 101)


@pytest.mark.parametrize("version", [10, 13, 20])
def test_the_reference_beat_is_added_again(tmp_path, simulated, ecg_mv, version):
    how = _beats(simulated, ecg_mv)
    how.version, how.named = version, version == 20
    how.zones = [(peak - 20, peak + 20) for peak in how.fiducials]
    ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv, how=how))
    assert ecg.notes == ()
    assert np.abs(ecg.signal_mv - ecg_mv).max() <= STEP_MV


def test_beats_at_the_ends_are_clipped(tmp_path, simulated, ecg_mv):
    how = _beats(simulated, ecg_mv)
    how.fiducials = [30, *how.fiducials[1:-1], ecg_mv.shape[1] - 10]
    how.beat_fiducial = 30
    ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv, how=how))
    assert np.abs(ecg.signal_mv - ecg_mv).max() <= STEP_MV


@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize("decimation", [2, 4])
def test_bimodal_compression(tmp_path, simulated, ecg_mv, subtract, decimation):
    """Whole in the QRS; between the beats as near as samples at a quarter of the rate allow."""
    how = _beats(simulated, ecg_mv)
    # The first zone begins where a multiple of the decimation ends, the others leave a rest.
    zones = [(peak - 40 - (peak - 41) % 4 * (k == 0), peak + 42)
             for k, peak in enumerate(how.fiducials)]  # fmt: skip
    how.zones, how.decimation = zones, decimation
    if not subtract:
        how.fiducials, how.beat = (), None
    ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv, how=how))
    assert ecg.rate_hz == 500 and ecg.signal_mv.shape == ecg_mv.shape
    error = np.abs(ecg.signal_mv - ecg_mv)
    for first, last in zones:
        assert error[:, first - 1 : last].max() <= 2 * STEP_MV
    # Half a sample out of place would cost 0.1 mV on the steepest parts that are left.
    assert error.mean() < 0.012
    assert any("fewer samples between the beats" in note for note in ecg.notes)


def test_a_median_beat_that_was_not_subtracted_is_not_added(tmp_path, simulated, ecg_mv):
    """Nor does its rate say anything about the rhythm's."""
    how = _beats(simulated, ecg_mv)
    how.subtracted = False
    ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv, how=how))
    assert (ecg.rate_hz, ecg.notes) == (500, ())
    assert np.abs(ecg.signal_mv - ecg_mv).max() <= STEP_MV


def test_leads_of_one_column_after_the_other(tmp_path, ecg_mv):
    n = 1250
    starts = [1 + n * (k // 3) for k in range(12)]
    pieces = np.stack([ecg_mv[k, :n] for k in range(12)])
    ecg = read_ecg(write_scp(tmp_path / "a.scp", pieces, starts=starts))
    expected = np.full((12, 4 * n), np.nan)
    for k, start in enumerate(starts):
        expected[k, start - 1 : start - 1 + n] = pieces[k]
    np.testing.assert_allclose(ecg.signal_mv, expected, atol=STEP_MV)
    assert any("not all recorded at the same time" in note for note in ecg.notes)


def test_other_leads_are_left_out(tmp_path, ecg_mv):
    """24 is Frank's I, 65 a reversed aVR, 31 a calibration: none of them is lead I or aVR."""
    ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv[:5], numbers=[24, 65, 31, 1, 12]))
    assert set(LEADS) - set(ecg.missing_leads) == {"I"}
    assert np.abs(ecg.lead("I") - ecg_mv[3]).max() <= STEP_MV
    assert any("SCP lead 24" in note and "V4R" in note for note in ecg.notes)


def test_a_wrong_checksum_is_a_note(tmp_path, ecg_mv):
    ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv, crc=1))
    assert any("checksum" in note for note in ecg.notes)


def test_a_checksum_that_looks_like_another_format(tmp_path, ecg_mv):
    """The file begins with it: "<<" is not XML, nor 1F 8B a compressed file."""
    for crc in (0x3C3C, 0x8B1F):
        ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv, crc=crc))
        assert ecg.missing_leads == ()


def test_known_by_content_and_without_the_patient(tmp_path, ecg_mv):
    for named in (True, False):
        ecg = read_ecg(write_scp(tmp_path / "IM01", ecg_mv, how=Coding(named=named)))
        assert ecg.missing_leads == () and "Doe" not in repr(ecg)
    assert b"Doe" in (tmp_path / "IM01").read_bytes()
    assert not looks_right(b"\0" * 256) and not looks_right(b"SCPECG" * 50)


def test_a_few_samples_less_than_announced_are_forgiven(tmp_path, ecg_mv):
    ecg = read_ecg(write_scp(tmp_path / "a.scp", ecg_mv[:, :2990], announced=3000))
    assert ecg.signal_mv.shape[1] == 3000 and np.isnan(ecg.signal_mv[:, 2990:]).all()


def test_what_cannot_be_read(tmp_path, simulated, ecg_mv):
    path = tmp_path / "a.scp"
    refused(write_scp(path, ecg_mv, rhythm=False), "holds no rhythm")
    refused(write_scp(path, ecg_mv, announced=2**32 - 1), "cut off")
    refused(write_scp(path, ecg_mv, announced=6000), "announces 12.0 s", "only 6.0 s")
    for gone in (4, 5):
        path = write_scp(path, ecg_mv, how=_beats(simulated, ecg_mv), without=[gone])
        refused(path, "the beat is not in the file")
    refused(write_scp(path, ecg_mv, without=[3]), "which leads")
    refused(write_scp(path, ecg_mv[:2], numbers=[24, 25]), "No ECG lead")
    refused(write_scp(path, ecg_mv, how=Coding(differences=3)), "unknown way")
    refused(write_scp(path, ecg_mv[:1].repeat(80, 0), numbers=range(1, 81)), "80 leads")
    content = write_scp(path, ecg_mv, how=Coding("custom", 1)).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "cut off")
    path.write_bytes(content[:100])
    refused(path)
    path.write_bytes(b"x" * 1000)
    refused(path, "not a readable SCP-ECG")
    table = content.index(b"\x01\x00\x05\x00\x02\x02\x01")
    for value in (b"\xff\xff", b"\x02\0"):
        path.write_bytes(content[:table] + value + content[table + 2 :])
        refused(path)
