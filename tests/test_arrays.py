"""NumPy and MATLAB files: what their names say is used, what none says is asked for."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_aecg import FUZZ, simulated
from test_formats import ecg_or_sentence, refused
from writers.arrays import npy_header, write_mat, write_npy, write_npz

from ecgqa.formats import read_ecg
from ecgqa.record import LEADS

pytestmark = pytest.mark.usefixtures("temp_folder")
GIVEN = {"rate_hz": 500, "units": "mV"}


def save(folder: Path, kind: str, **variables) -> Path:
    """Variables in a file of the given kind: npz, mat (level 5) or mat4."""
    if kind == "npz":
        return write_npz(folder / "a.npz", **variables)
    return write_mat(folder / "a.mat", "4" if kind == "mat4" else "5", **variables)


def names_for(kind: str, names=LEADS) -> np.ndarray:
    """Lead names as people save them there: an array of texts, a cell array, lines of letters."""
    return np.array(names, dtype=object if kind in ("mat", "mat-unpacked") else str)


@given(
    dtype=st.sampled_from(["<f8", "<f4", ">f4", "<f2", "<i2", ">i2", "<i4"]),
    turned=st.booleans(),
    fortran=st.booleans(),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_npy_round_trip_within_one_step(tmp_path, dtype, turned, fortran):
    signal = simulated()
    whole = np.dtype(dtype).kind == "i"
    array = (np.round(signal * 1000) if whole else signal).astype(dtype)
    array = array.T if turned else array
    array = np.asfortranarray(array) if fortran else array
    path = write_npy(tmp_path / "a.npy", array)
    ecg = read_ecg(path, rate_hz=500, units="uV" if whole else "mV")
    assert ecg.rate_hz == 500 and any("standard order" in note for note in ecg.notes)
    step_mv = 0.001 if whole else 4 * np.finfo(dtype).eps
    assert np.abs(ecg.signal_mv - signal).max() <= step_mv


@pytest.mark.parametrize("kind", ["npz", "mat", "mat4"])
@pytest.mark.parametrize("rate_name", ["fs", "rate_hz", "sampling_rate", "sfreq"])
def test_names_rate_and_units_are_used(tmp_path, kind, rate_name):
    signal = simulated()
    order = list(range(11, -1, -1))
    path = save(
        tmp_path,
        kind,
        ecg=signal[order] * 1000,
        leads=names_for(kind, [LEADS[k] for k in order]),
        units="uV",
        **{rate_name: 500.0},
    )
    ecg = read_ecg(path)
    assert ecg.rate_hz == 500 and ecg.notes == () and ecg.name == "a"
    assert np.abs(ecg.signal_mv - signal).max() < 1e-5


@given(
    n_leads=st.integers(1, 12),
    rate_hz=st.sampled_from([100, 250, 257, 500, 1000]),
    kind=st.sampled_from(["npz", "mat"]),
    turned=st.booleans(),
    steps=st.sampled_from([None, 200.0, 1000.0]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fewer_leads_by_name_in_steps_or_units(tmp_path, n_leads, rate_hz, kind, turned, steps):
    signal = simulated(3, rate_hz)[:n_leads]
    more = {"units": "mV"} if steps is None else {"adc_gain": steps, "baseline": 50}
    stored = signal if steps is None else np.round(signal * steps + 50).astype(np.int16)
    path = save(
        tmp_path,
        kind,
        p_signal=stored.T if turned else stored,
        sig_name=names_for(kind, LEADS[:n_leads]),
        fs=rate_hz,
        **more,
    )
    ecg = read_ecg(path)
    assert ecg.rate_hz == rate_hz
    assert np.abs(ecg.signal_mv[:n_leads] - signal).max() <= (1 / steps if steps else 1e-6)


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_one_vector_per_lead_and_a_vector_of_times(tmp_path, kind):
    signal = simulated()
    vectors = dict(zip(LEADS, signal, strict=True))
    ecg = read_ecg(save(tmp_path, kind, t=np.arange(2000) / 500, unit="mV", **vectors))
    assert ecg.rate_hz == 500 and np.abs(ecg.signal_mv - signal).max() < 1e-6
    ecg = read_ecg(save(tmp_path, kind, time_ms=np.arange(2000) * 2.0, unit="mV", **vectors))
    assert ecg.rate_hz == 500 and ecg.notes == ()
    short = {**vectors, "V6": vectors["V6"][:500]}
    refused(save(tmp_path, kind, fs=500, **short), "not all of one length")
    uneven = np.arange(2000) / 500 + (np.arange(2000) > 900)
    refused(save(tmp_path, kind, t=uneven, unit="mV", **vectors), "gaps, repeats or steps back")


def test_a_heart_rate_is_no_sampling_rate(tmp_path):
    more = {"heart_rate": 72.0, "mains_freq": 50.0, "lowpass_hz": 150.0, "adc_rate_max": 1000.0}
    path = write_npz(tmp_path / "a.npz", ecg=simulated(), leads=np.array(LEADS), units="mV", **more)
    refused(path, "sampling rate")


def test_a_structure_is_looked_into(tmp_path):
    """As the China Physiological Signal Challenge 2018 stores it."""
    signal = simulated()
    path = write_mat(tmp_path / "a.mat", ECG={"sex": "Male", "age": 61.0, "data": signal})
    refused(path, "sampling rate", "units")
    ecg = read_ecg(path, **GIVEN)
    assert np.abs(ecg.signal_mv - signal).max() < 1e-6
    record = {"signal": signal, "fs": 500.0, "units": "mV", "leads": names_for("mat")}
    assert read_ecg(write_mat(tmp_path / "a.mat", rec=record)).notes == ()


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_what_a_file_does_not_say_is_asked_for(tmp_path, kind):
    signal = simulated()
    leads = names_for(kind)
    refused(save(tmp_path, kind, val=signal), "rate_hz", "units", "I, II, III, aVR")
    refused(save(tmp_path, kind, val=signal, leads=leads), "sampling rate")
    refused(save(tmp_path, kind, val=signal, leads=leads, fs=500), "does not say the unit")
    refused(save(tmp_path, kind, val=signal[:3], fs=500, units="mV"), "3 leads without names")
    assert read_ecg(save(tmp_path, kind, val=signal, leads=leads), **GIVEN).rate_hz == 500
    refused(
        save(tmp_path, kind, val=signal * 1000, leads=leads, fs=500, units="mV"), "units look wrong"
    )


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "mat4"])
@pytest.mark.parametrize("n_leads", [1, 2])
@pytest.mark.parametrize("timed", [False, True])
def test_rows_without_names_are_named_by_the_user(tmp_path, kind, n_leads, timed):
    """Also a vector, and a time before the values: it gives the rate."""
    signal = simulated()[:n_leads]
    rows = np.vstack([np.arange(signal.shape[1]) / 500, signal]) if timed else signal
    if kind == "npy":
        rows = rows.squeeze().T
        path = write_npy(tmp_path / "a.npy", rows)
    else:
        path = save(tmp_path, kind, x=rows)
    given = {"units": "mV"} if timed else GIVEN
    refused(path, "without names", "(leads)")
    refused(path, "(leads)", "Please save", **given)
    ecg = read_ecg(path, leads="V2 I"[: 2 if n_leads == 1 else 4], **given)
    assert ecg.rate_hz == 500
    for lead, row in zip(("V2", "I"), signal, strict=False):
        assert np.abs(ecg.lead(lead) - row).max() < 1e-6


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_arrays_that_are_no_one_ecg(tmp_path, kind):
    signal = simulated()
    many = np.stack([signal, signal])
    refused(save(tmp_path, kind, data=many), "2 recordings in one array")
    refused(save(tmp_path, kind, first=signal, second=signal), "several arrays", "first, second")
    refused(save(tmp_path, kind, x=np.ones((3, 3))), "no array that could be an ECG")
    refused(save(tmp_path, kind, x=np.random.default_rng(0).normal(size=(500, 400))), "400 rows")
    refused(save(tmp_path, kind, x=signal + 1j), "no array that could be an ECG")
    # One of a batch is one, and what is called ECG is the ECG.
    ecg = read_ecg(save(tmp_path, kind, data=signal[None], mask=signal * 0), **GIVEN)
    assert np.abs(ecg.signal_mv - signal).max() < 1e-6


class Bad:
    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-run"),))


def test_python_objects_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = np.array([Bad()] * 200, dtype=object)
    refused(write_npy(tmp_path / "a.npy", objects), "Python objects")
    refused(write_npz(tmp_path / "a.npz", ecg=objects), "Python objects")
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bad()))
    refused(tmp_path / "b.npy", "damaged")
    assert not (tmp_path / "pickle-was-run").exists()


@pytest.mark.parametrize("shape", [(12, 10**10), (2**62, 4), (12, -5), (10**5, 10**5)])
def test_claimed_sizes_reserve_no_memory(tmp_path, shape):
    (tmp_path / "a.npy").write_bytes(npy_header(shape) + bytes(1000))
    tracemalloc.start()
    refused(tmp_path / "a.npy", "damaged or cut off")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_cut_off_file(tmp_path):
    for path in (
        write_npy(tmp_path / "a.npy", simulated()),
        save(tmp_path, "npz", ecg=simulated()),
        save(tmp_path, "mat", ecg=simulated()),
        write_mat(tmp_path / "b.mat", packed=False, ecg=simulated()),
        save(tmp_path, "mat4", ecg=simulated()),
    ):
        path.write_bytes(path.read_bytes()[:-500])
        refused(path, "cut", **GIVEN)


def test_matlab_7_3_and_a_lone_wfdb_file(tmp_path):
    text = b"MATLAB 7.3 MAT-file, Platform: PCWIN64, Created on: Mon Jan  1 00:00:00 2024 HDF5"
    (tmp_path / "a.mat").write_bytes(text.ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(2000))
    refused(tmp_path / "a.mat", "version 7.3", "'-v7'")
    path = write_mat(tmp_path / "b.mat", "4", val=np.ones((2, 5000), np.int16))
    refused(path, "2 leads without names", "header file (.hea)")


def part(kind: int, content: bytes) -> bytes:
    return struct.pack("<2I", kind, len(content)) + content + bytes(-len(content) % 8)


def array(kind: int, shape: tuple[int, ...], *rest: bytes, name: bytes = b"x") -> bytes:
    flags, size = (
        part(6, struct.pack("<2I", kind, 0)),
        part(5, struct.pack(f"<{len(shape)}i", *shape)),
    )
    return part(14, flags + size + part(1, name) + b"".join(rest))


HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"


def nested(depth: int) -> bytes:
    inside = array(6, (1, 1), part(9, bytes(8)))
    for _ in range(depth):
        inside = array(1, (1, 1), inside)
    return inside


@pytest.mark.parametrize(
    "content",
    [
        array(1, (2**31 - 1, 2**31 - 1)),
        array(6, (2**31 - 1, 12), part(9, bytes(96))),
        array(4, (2**31 - 1, 1), part(16, b"I")),
        nested(2000),
        part(15, zlib.compress(bytes(400 * 2**20), 9)),
        part(15, zlib.compress(array(6, (12, 2**30), part(9, bytes(800))))),
        part(15, b"no zlib"),
        array(2, (1, 1), part(5, struct.pack("<i", 2**30)), part(1, b"a" * 64)),
        array(6, (-1, 12), part(9, bytes(96))),
        b"\0" * 7,
    ],
    ids=[
        "cells",
        "numbers",
        "text",
        "nested",
        "bomb",
        "claim",
        "no zlib",
        "fields",
        "negative",
        "0",
    ],
)
def test_matlab_attacks_reserve_no_memory(tmp_path, content):
    path = tmp_path / "a.mat"
    path.write_bytes(HEAD + content)
    refused(path, "a.mat")


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "mat4", "mat-unpacked"])
@given(
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    near_start=st.booleans(),
    keep=st.floats(0.3, 1.5),
)
@FUZZ
def test_mutated_files(tmp_path, kind, flips, near_start, keep):
    signal = simulated(2.6, rate_hz=100)[:2]
    more = {"fs": 100, "units": "mV", "leads": names_for(kind, ("I", "V1"))}
    if kind == "npy":
        path = write_npy(tmp_path / "a.npy", signal)
    elif kind == "mat-unpacked":
        path = write_mat(tmp_path / "a.mat", packed=False, ecg=signal, **more)
    else:
        path = save(tmp_path, kind, ecg=signal, **more)
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[int(place * min(len(data), 400 if near_start else len(data)))] = value
    path.write_bytes(bytes(data[: int(keep * len(data))]))
    ecg_or_sentence(path)


@given(content=st.binary(max_size=600), name=st.sampled_from(["a.npy", "a.npz", "a.mat", "a.zip"]))
@FUZZ
def test_random_bytes(tmp_path, content, name):
    heads = {
        "a.npy": b"\x93NUMPY\x01\0",
        "a.npz": b"PK\x03\x04",
        "a.mat": HEAD,
        "a.zip": b"PK\x03\x04",
    }
    for start in (b"", heads[name]):
        (tmp_path / name).write_bytes(start + content)
        ecg_or_sentence(tmp_path / name, **GIVEN)
