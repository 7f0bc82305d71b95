"""The gallery: bundled ECGs, a folder of the user's own with bad files in it, random others."""

import numpy as np
import pytest
import wfdb

from ecgqa.gallery import gallery as gallery_module
from ecgqa.gallery.gallery import REAL, SIMULATED, Gallery
from ecgqa.gallery.simulate import FINDINGS, simulate
from ecgqa.record import EcgFileError


def _write_wfdb(folder, name, seed=0):
    """A WFDB record of a simulated ECG."""
    folder.mkdir(parents=True, exist_ok=True)
    ecg = simulate("normal", rate_hz=100, seed=seed).ecg
    wfdb.wrsamp(
        name,
        fs=100,
        units=["mV"] * 12,
        sig_name=list(ecg.leads),
        p_signal=ecg.signal_mv.T.astype(float),
        fmt=["16"] * 12,
        write_dir=str(folder),
    )
    return ecg


def test_bundled_ecgs_open_and_stay_the_same():
    gallery = Gallery()
    names = gallery.names()
    assert len([name for name in names if name.startswith(SIMULATED)]) >= 12
    assert len(set(names)) == len(names)
    for name in names:
        ecg = gallery.open(name)
        assert ecg.signal_mv.shape[0] == 12 and len(ecg.sha256) == 64
    hashes = {gallery.open(name).sha256 for name in names}
    assert len(hashes) == len(names)
    name = SIMULATED + "atrial fibrillation"
    assert np.array_equal(Gallery().open(name).signal_mv, gallery.open(name).signal_mv)


def test_the_real_ecg_comes_from_the_installed_library():
    gallery = Gallery()
    assert REAL in gallery.names()
    ecg = gallery.open(REAL)
    assert ecg.seconds == pytest.approx(10, abs=0.1)
    assert not ecg.missing_leads


@pytest.mark.parametrize(
    "name", ["", "nothing", "../secret", SIMULATED, SIMULATED + "x", "/etc/passwd", FINDINGS[0]]
)
def test_unknown_names_are_refused_in_plain_words(name):
    with pytest.raises(EcgFileError, match="no ECG of that name"):
        Gallery().open(name)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(EcgFileError, match="not found"):
        Gallery(tmp_path / "nowhere")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "ecgs"
    _write_wfdb(root, "one", seed=1)
    _write_wfdb(root / "deep" / "er", "two", seed=2)
    # Things that are no ECG, or broken, or lead out of the folder.
    (root / "empty.hea").write_bytes(b"")
    (root / "lost.hea").write_text("lost 1 100 1000\ngone.dat 16 1000 16 0 0 0 0 I\n")
    (root / "out.hea").write_text("out 1 100 10\n../outside.dat 16 1000 16 0 0 0 0 I\n")
    (root / "broken.dcm").write_bytes(b"\x00" * 300)
    (root / "labels.csv").write_text("patient,label\nA,normal\nB,normal\n")
    (root / "README.txt").write_text("no ECG")
    outside = tmp_path / "outside"
    _write_wfdb(outside, "secret", seed=3)
    (root / "link").symlink_to(outside, target_is_directory=True)
    (root / "link.hea").symlink_to(outside / "secret.hea")
    return root


def test_a_folder_lists_recordings_and_follows_no_links(folder):
    names = Gallery(folder).names()
    own = [name for name in names if not name.startswith(SIMULATED) and name != REAL]
    assert own == ["broken.dcm", "empty", "lost", "one", "out", "deep/er/two"]


def test_recordings_of_a_folder_open(folder):
    gallery = Gallery(folder)
    ecg = gallery.open("deep/er/two")
    truth = simulate("normal", rate_hz=100, seed=2).ecg
    assert np.abs(ecg.signal_mv - truth.signal_mv).max() < 0.01


@pytest.mark.parametrize("name", ["empty", "lost", "out", "broken.dcm"])
def test_broken_files_give_plain_words(folder, name):
    with pytest.raises(EcgFileError) as caught:
        Gallery(folder).open(name)
    message = str(caught.value)
    assert message and "Traceback" not in message and str(folder) not in message


def test_a_file_that_went_away_or_became_a_link(folder, tmp_path):
    gallery = Gallery(folder)
    gallery.names()
    (folder / "one.hea").unlink()
    with pytest.raises(EcgFileError, match="no longer"):
        gallery.open("one")
    (folder / "one.hea").symlink_to(tmp_path / "outside" / "secret.hea")
    with pytest.raises(EcgFileError, match="no longer"):
        gallery.open("one")


def test_tables_of_numbers_are_listed_and_others_are_not(tmp_path):
    (tmp_path / "signal.csv").write_text("time,I,II\n" + "0.002,-0.1,0.2\n" * 50)
    (tmp_path / "list.csv").write_text("id,name,code\n" + "1,anna,x\n" * 50)
    names = Gallery(tmp_path).names()
    assert "signal.csv" in names and "list.csv" not in names


def test_the_list_is_capped(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_module, "MOST_FROM_FOLDER", 7)
    for i in range(20):
        (tmp_path / f"{i:02}.hea").write_text("")
    assert len(Gallery(tmp_path).names()) == len(Gallery().names()) + 7


def test_random_others_are_seeded_distinct_and_not_the_one_in_question():
    gallery = Gallery()
    asked = gallery.open(SIMULATED + "normal")
    seen = set()
    for seed in range(6):
        drawn = gallery.random_other(asked.sha256, 3, seed)
        again = gallery.random_other(asked.sha256, 3, seed)
        assert [name for name, _ in drawn] == [name for name, _ in again]
        hashes = [ecg.sha256 for _, ecg in drawn]
        assert len(set(hashes)) == 3 and asked.sha256 not in hashes
        seen.update(name for name, _ in drawn)
    assert len(seen) > 5
    everything = gallery.random_other({asked.sha256}, 1000, 0)
    assert len(everything) == len(gallery.names()) - 1


def test_random_others_pass_over_broken_files(folder):
    gallery = Gallery(folder)
    for seed in range(3):
        names = [name for name, _ in gallery.random_other("", 2, seed)]
        assert sorted(names) == ["deep/er/two", "one"]
    one = gallery.open("one")
    names = [name for name, _ in gallery.random_other([one.sha256], 3, 0)]
    assert names[0] == "deep/er/two" and len(names) == 3
    assert all(name.startswith(SIMULATED) or name == REAL for name in names[1:])
