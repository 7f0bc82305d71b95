"""Zip archives: one recording in them is read, everything else is refused before it unfolds."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_aecg import FUZZ, simulated
from test_formats import ecg_or_sentence, refused, write_table, write_wfdb
from writers.aecg import sequence_set, series, write_aecg
from writers.arrays import write_mat, write_npy, write_npz
from writers.cardiosoft import block, write_cardiosoft
from writers.muse import waveform, write_muse
from writers.sierra import write_sierra

from ecgqa.formats import read_ecg, supported_suffixes
from ecgqa.record import LEADS

pytestmark = pytest.mark.usefixtures("temp_folder")


def pack(path: Path, files: dict[str, Path | bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            archive.writestr(name, data)
    return path


def one_of_each(folder: Path, signal: np.ndarray) -> dict[str, tuple[Path, dict, float]]:
    """The same ECG in every kind of file: its path, what must be given, and its step in mV."""
    micro = np.round(signal * 1000).astype("<i2")
    leads = np.array(LEADS)
    names = [f"{lead} (mV)" for lead in LEADS]
    given_both = {"rate_hz": 500, "units": "uV"}
    return {
        "csv": (write_table(folder / "a.csv", signal, names), {"rate_hz": 500}, 1e-5),
        "npy": (write_npy(folder / "a.npy", micro), given_both, 0.001),
        "npz": (write_npz(folder / "b.npz", ecg=micro, leads=leads, fs=500, units="uV"), {}, 0.001),
        "mat": (
            write_mat(folder / "c.mat", ecg=micro, leads=leads.astype(object), fs=500, units="uV"),
            {},
            0.001,
        ),
        "aecg": (write_aecg(folder / "d.xml", series(sequence_set(signal))), {}, 0.0025),
        "muse": (write_muse(folder / "e.xml", waveform(signal)), {}, 0.00488),
        "cardiosoft": (
            write_cardiosoft(folder / "h.xml", block("StripData", signal)),
            {},
            0.005,
        ),
        "xli": (write_sierra(folder / "f.xml", signal), {}, 0.005),
        "sierra": (write_sierra(folder / "g.xml", signal, xli=False), {}, 0.005),
    }


def test_one_ecg_in_every_format_plain_and_zipped(tmp_path):
    signal = simulated(10)
    for kind, (path, given_too, step_mv) in one_of_each(tmp_path, signal).items():
        plain = read_ecg(path, **given_too)
        assert plain.rate_hz == 500 and plain.missing_leads == (), kind
        assert np.abs(plain.signal_mv - signal).max() <= step_mv, kind
        zipped = read_ecg(pack(tmp_path / "z.zip", {f"export/{path.name}": path}), **given_too)
        np.testing.assert_array_equal(zipped.signal_mv, plain.signal_mv)
        assert (zipped.sha256, zipped.name, zipped.notes) == (plain.sha256, plain.name, plain.notes)


def test_a_wfdb_set_in_a_zip(tmp_path):
    signal = simulated(4, 250)
    header, data = write_wfdb(tmp_path, signal)
    files: dict[str, Path | bytes] = {"r/demo.hea": header, "r/demo.dat": data}
    files |= {"r/LICENSE.txt": b"1 2 3\n" * 999, "__MACOSX/r/._demo.hea": b"x", "r/.DS_Store": b"x"}
    ecg = read_ecg(pack(tmp_path / "z.zip", files))
    assert np.abs(ecg.signal_mv - signal).max() <= 1e-3
    assert (ecg.name, ecg.notes) == ("demo", ())
    odd = header.read_text().replace("demo.dat", "demo.xyz").encode()
    assert read_ecg(pack(tmp_path / "z.zip", {"demo.hea": odd, "demo.xyz": data})).seconds == 4
    other = [p.rename(p.with_stem("o")) for p in write_wfdb(tmp_path, signal, name="o2")]
    files |= {path.name: path for path in other}
    refused(pack(tmp_path / "z.zip", files), "2 header files", "one ECG at a time")


def test_a_report_beside_the_recording_is_left_out(tmp_path):
    signal = simulated()
    strip = write_muse(tmp_path / "a.xml", waveform(signal))
    beside = {"report.pdf": b"%PDF-1.7", "page.png": b"\x89PNG\r\n", "notes.txt": b"sinus rhythm"}
    ecg = read_ecg(pack(tmp_path / "z.zip", {"a.xml": strip, **beside}))
    assert np.abs(ecg.signal_mv - signal).max() <= 0.00488
    assert ecg.notes == ("Left out of the archive: notes.txt, page.png, report.pdf.",)


def test_names_of_an_archive_lead_nowhere(tmp_path):
    path, given_too, _ = one_of_each(tmp_path, simulated())["csv"]
    for name in ("../../up.csv", "/etc/up.csv", "C:\\x\\up.csv", "..\\up.csv", "a/\x1bup.csv"):
        ecg = read_ecg(pack(tmp_path / "z.zip", {name: path}), **given_too)
        assert ecg.name == "up"
    assert not list(tmp_path.parent.glob("up.csv")) and not Path("/etc/up.csv").exists()


def test_archives_that_are_refused(tmp_path):
    files = one_of_each(tmp_path, simulated())
    a, b = files["csv"][0], files["muse"][0]
    path = tmp_path / "z.zip"
    refused(pack(path, {"a.csv": a, "e.xml": b}), "2 recordings", "a.csv, e.xml")
    refused(pack(path, {f"{k}.csv": a for k in range(20)}), "20 recordings", "and others")
    refused(pack(path, {"x/a.csv": a, "y/a.csv": a}), "two files called a.csv")
    inner = pack(tmp_path / "inner.zip", {"a.csv": a}).read_bytes()
    refused(pack(path, {"inner.zip": inner}), "another archive", "inner.zip")
    refused(pack(path, {"book.xlsx": inner}), "no kind of file")
    refused(pack(path, {"a.tar.gz": b"x"}), "another archive")
    refused(pack(path, {}), "nothing in it")
    refused(pack(path, {"a.docx": b"x", "b.exe": b"x"}), "no ECG that can be read", "a.docx, b.exe")
    refused(pack(path, {"[Content_Types].xml": b"<Types/>", "xl/a.xml": b"<a/>"}), "Excel or Word")
    refused(pack(path, {"a.csv": a}, zipfile.ZIP_BZIP2), "unusual method")
    refused([path, a], "not one recording")
    wide = write_npz(tmp_path / "w.npz", **{f"a{k}": np.ones(900) for k in range(2100)})
    refused(wide, "unfold to far more")


def test_bombs_are_refused_before_they_unfold(tmp_path):
    path = tmp_path / "z.zip"
    refused(pack(path, {"a.csv": b"0,0\n" * 20_000_000}), "unfold to far more")
    many = {f"{k}.csv": b"1" for k in range(2500)}
    refused(pack(path, many), "unfold to far more")


def test_a_listed_size_that_is_a_lie(tmp_path):
    """The list says a megabyte less, or gigabytes more, than the member unfolds to."""
    path = pack(tmp_path / "z.zip", {"a.csv": b"I (mV)\n" + b"0.25\n" * 30_000})
    whole = path.read_bytes()
    place = whole.rindex(b"PK\x01\x02") + 24
    for lie in (10, 2**31):
        path.write_bytes(whole[:place] + struct.pack("<I", lie) + whole[place + 4 :])
        refused(path, "z.zip" if lie > 10 else "a.csv", rate_hz=500)


def test_a_password(tmp_path):
    path = pack(tmp_path / "z.zip", {"a.csv": b"I\n1\n" * 100})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    refused(path, "protected by a password")


def test_the_upload_field_offers_zip():
    offered = supported_suffixes()
    assert {".zip", ".xml", ".npy", ".npz"} <= set(offered) and len(set(offered)) == len(offered)


@given(
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=5),
    keep=st.floats(0.3, 1.5),
)
@FUZZ
def test_mutated_archives(tmp_path, flips, keep):
    table = write_table(tmp_path / "a.csv", simulated(2.6, 100)[:2], ["I (mV)", "V1 (mV)"])
    data = bytearray(pack(tmp_path / "z.zip", {"a.csv": table}).read_bytes())
    for place, value in flips:
        data[int(place * len(data))] = value
    (tmp_path / "z.zip").write_bytes(bytes(data[: int(keep * len(data))]))
    ecg_or_sentence(tmp_path / "z.zip", rate_hz=100)
