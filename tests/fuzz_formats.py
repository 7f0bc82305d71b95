"""Damaged, absurd and hostile files for every reader: each must end as an ECG or as one sentence.

    python tests/fuzz_formats.py --inputs 20000

Starts from small valid files of every family in `ecgqa.formats.FAMILIES`, damages them (see
`damaged`), and hands them to `read_ecg` in a process that may take 1 GB of memory and 10 s of the
processor an input. Prints a table; exits with 1 when anything crashed, hung, ran out of memory, or
opened a file that is none of its business. Input number k of a seed is the same in every run;
`--only FAMILY` and `--keep FOLDER` (which stores the inputs that failed) help to find out why.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from test_formats import dicom_group, write_dicom, write_table, write_wfdb
from writers.edf import Written, leads_as_signals, write_edf
from writers.ishne import write_ishne
from writers.scp import Coding, write_scp

from ecgqa.formats import FAMILIES, Family, read_ecg
from ecgqa.gallery.simulate import simulate
from ecgqa.record import ECG, LEADS, EcgFileError

Files = list[tuple[str, bytes]]
"""An upload: names and contents."""

MEMORY_BYTES = 2**30
SECONDS = 10
"""Of the processor: how busy the machine is does not count."""
SILENT_S = 300
"""After so long on the clock a process that has not answered is given up."""
SLOW = ("picture",)
"""Families that take seconds an input: a tenth of them must do."""
RATE_HZ = 100
GENERAL = "The file is damaged or not what its name says"


class TooLong(BaseException):
    """Raised by the alarm; no reader may catch it."""


def name_of(family: Family) -> str:
    return family.read.__module__.split(".")[2]


# --- valid files -------------------------------------------------------------------------------


def _small_mv() -> np.ndarray:
    return _twelve_mv()[:3]


def _twelve_mv() -> np.ndarray:
    return simulate("normal", seconds=3, rate_hz=RATE_HZ).ecg.signal_mv.astype(np.float64)


def _wfdb(folder: Path) -> list[list[Path]]:
    signal_mv, names = _small_mv(), LEADS[:3]
    plain = write_wfdb(folder, signal_mv, names, rate_hz=RATE_HZ)
    packed = write_wfdb(folder, signal_mv, names, "212", gain=200.0, name="p212", rate_hz=RATE_HZ)
    flac = write_wfdb(folder, signal_mv, names, "516", name="flac", rate_hz=RATE_HZ)
    several = write_wfdb(folder, signal_mv[:, :150], names, name="s1", rate_hz=RATE_HZ)
    several += write_wfdb(folder, signal_mv[:, 150:], names, name="s2", rate_hz=RATE_HZ)
    (folder / "all.hea").write_text(f"all/2 3 {RATE_HZ} 300\ns1 150\ns2 150\n")
    return [plain, packed, flac, [*several, folder / "all.hea"]]


def _dicom(folder: Path) -> list[list[Path]]:
    group = dicom_group(_small_mv(), names=LEADS[:3], rate_hz=RATE_HZ)
    syntax = "1.2.840.10008.1.2.1.99"  # deflated
    return [
        [write_dicom(folder / "a.dcm", group)],
        [write_dicom(folder / "b.dcm", group, group)],
        [write_dicom(folder / "c.dcm", group, syntax=syntax)],
    ]


def _edf(folder: Path) -> list[list[Path]]:
    signal_mv, names = _small_mv(), LEADS[:3]
    ways = [
        Written(),
        Written(bdf=True),
        Written(onsets_s=[0, 1, 2]),
        Written(onsets_s=[0, 2, 4], discontinuous=True),
    ]
    return [
        [write_edf(folder / f"{k}.edf", leads_as_signals(signal_mv, names, 100, bdf=w.bdf), w)]
        for k, w in enumerate(ways)
    ]


def _scp(folder: Path) -> list[list[Path]]:
    signal_mv, names = _small_mv(), LEADS[:3]
    beat = Coding("default", 2, [100, 200], signal_mv[:, 60:120], 40, zones=[(90, 110), (190, 210)])
    thinned = Coding("custom", 1, (), None, 0, zones=[(90, 110)], decimation=4)
    ways = [Coding(), Coding("default", 2), Coding("two", 1), beat, thinned, Coding(named=False)]
    return [
        [write_scp(folder / f"{k}.scp", signal_mv, names, RATE_HZ, w)] for k, w in enumerate(ways)
    ]


def _ishne(folder: Path) -> list[list[Path]]:
    return [[write_ishne(folder / "a.ecg", _small_mv(), LEADS[:3], RATE_HZ)]]


def _text(folder: Path) -> list[list[Path]]:
    signal_mv, named = _small_mv(), [f"{lead} (mV)" for lead in LEADS[:3]]
    time_s = np.arange(signal_mv.shape[1]) / RATE_HZ
    return [
        [write_table(folder / "a.csv", signal_mv, named)],
        [write_table(folder / "b.tsv", signal_mv, ["time_s", *named], "\t", time_s=time_s)],
    ]


def _numpy_array(folder: Path) -> list[list[Path]]:
    from writers.arrays import write_npy, write_npz

    twelve = _twelve_mv()
    return [[write_npy(folder / "a.npy", twelve)], [write_npz(folder / "b.npz", ecg=twelve)]]


def _matlab(folder: Path) -> list[list[Path]]:
    from writers.arrays import write_mat

    twelve = _twelve_mv()
    return [
        [write_mat(folder / f"{level}.mat", level, packed, ecg=twelve, fs=float(RATE_HZ))]
        for level, packed in (("5", True), ("5", False), ("4", False))
    ]


def _aecg(folder: Path) -> list[list[Path]]:
    from writers.aecg import sequence_set, series, write_aecg

    leads = series(sequence_set(_small_mv(), LEADS[:3], RATE_HZ))
    return [[write_aecg(folder / "a.xml", leads)]]


def _muse(folder: Path) -> list[list[Path]]:
    from writers.muse import waveform, write_muse

    return [[write_muse(folder / "a.xml", waveform(_small_mv(), LEADS[:3], base=RATE_HZ))]]


def _cardiosoft(folder: Path) -> list[list[Path]]:
    from writers.cardiosoft import block, write_cardiosoft

    rhythm = block("StripData", _small_mv(), LEADS[:3], RATE_HZ)
    return [[write_cardiosoft(folder / "a.xml", rhythm)]]


def _sierra(folder: Path) -> list[list[Path]]:
    from writers.sierra import write_sierra

    twelve = _twelve_mv()
    return [
        [write_sierra(folder / f"{xli}.xml", twelve, xli=xli, rate_hz=RATE_HZ)]
        for xli in (True, False)
    ]


def _picture(folder: Path) -> list[list[Path]]:
    from printouts import Style, printout

    page = printout(simulate("normal", rate_hz=500).ecg, Style())
    return [[page.save(folder / name)] for name in ("a.png", "b.jpg", "c.pdf")]


# Module of a family → small valid files of it. For others, the real files in $ECGQA_DATA/formats
# with its suffixes, and else other families' files under its suffix.
SEEDS: dict[str, Callable[[Path], list[list[Path]]]] = {
    "wfdb_record": _wfdb, "dicom": _dicom, "edf": _edf, "scp": _scp, "ishne": _ishne,
    "text": _text, "numpy_array": _numpy_array, "matlab": _matlab, "aecg": _aecg, "muse": _muse,
    "cardiosoft": _cardiosoft, "sierra": _sierra, "picture": _picture,
}  # fmt: skip
MAX_REAL_BYTES = 300_000


def seeds_of(family: Family) -> list[Files]:
    """Valid files of a family, as far as they are known here."""
    found: list[Files] = []
    if make := SEEDS.get(name_of(family)):
        with tempfile.TemporaryDirectory() as folder:
            for paths in make(Path(folder)):
                found.append([(path.name, path.read_bytes()) for path in paths])
    real = Path(os.environ.get("ECGQA_DATA", "nowhere")) / "formats"
    if not family.several:
        for path in sorted(real.glob("*/*")):
            fits = path.suffix.lower() in family.suffixes and path.suffix.lower() != ".mat"
            if fits and 0 < path.stat().st_size < MAX_REAL_BYTES:
                found.append([(path.name, path.read_bytes())])
    return found


# --- damage ------------------------------------------------------------------------------------

ABSURD_TEXT = [b"0", b"-1", b"1e308", b"nan", b"inf", b"4294967295", b"9" * 30, b"9" * 400,
               b"0.000000001", b"-0", b"1,5", b"", b"../../../../etc/passwd", b"/etc/passwd",
               b"C:\\x", b"\0"]  # fmt: skip
ABSURD_NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000,
                  0xFFFFFFFF, 2**63 - 1, 2**64 - 1]  # fmt: skip


def _place(rng: random.Random, content: bytes) -> int:
    """Somewhere in a file, mostly where its header is."""
    span = min(len(content), rng.choice([32, 300, 2000, len(content)]))
    return rng.randrange(max(span, 1))


def _flipped(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 2, 5, 20, 200])):
        changed[_place(rng, content)] = rng.randrange(256)
    return bytes(changed)


def _truncated(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.choice([_place(rng, content), rng.randrange(len(content))])]


def _absurd_field(rng: random.Random, content: bytes) -> bytes:
    """A number of the header becomes absurd, written as text or in binary."""
    at = _place(rng, content)
    while at < len(content) and rng.random() < 0.7 and not content[at : at + 1].isdigit():
        at += 1
    end = at
    while end < len(content) and content[end : end + 1].isdigit():
        end += 1
    if end > at and rng.random() < 0.8:
        text = rng.choice(ABSURD_TEXT)
        if rng.random() < 0.5:  # at its place: columns of fixed width stay
            width = end - at
            while content[end : end + 1] == b" " and end - at < 8:
                end += 1
            text = text[: max(width, end - at)].ljust(end - at)
        return content[:at] + text + content[end:]
    width = rng.choice([1, 2, 4, 8])
    number = rng.choice(ABSURD_NUMBERS) & (1 << 8 * width) - 1
    value = number.to_bytes(width, rng.choice(["little", "big"]))
    return content[:at] + value + content[at + width :]


def _rearranged(rng: random.Random, content: bytes) -> bytes:
    """A piece left out, twice, or somewhere else."""
    one, two = sorted(_place(rng, content) for _ in range(2))
    piece = content[one:two] * rng.choice([0, 2, 50 if two - one < 2000 else 2])
    return content[:one] + piece + content[two:]


def _random(rng: random.Random, content: bytes) -> bytes:
    """Noise, mostly behind a true beginning."""
    kept = rng.choice([0, 4, 16, 132, 256, 600])
    return content[:kept] + rng.randbytes(rng.choice([0, 1, 50, 3000]))


def _bomb(rng: random.Random, canary: str) -> tuple[str, bytes]:
    """A hostile file, with the suffix it is made for."""
    zeros = zlib.compressobj(9, zlib.DEFLATED, 31)
    kinds: list[Callable[[], tuple[str, bytes]]] = [
        lambda: (".zip", _zipped({"a.csv": bytes(150 * 2**20)})),
        lambda: (".zip", _zipped({f"{k}.csv": b"I,II\n" for k in range(3000)})),
        lambda: (".zip", _zipped({"../../evil.csv": b"I\n1\n", "/tmp/evil.hea": b"a 1 100"})),
        lambda: (".zip", _zipped({"a.zip": _zipped({"a.zip": _zipped({"a.csv": b"I\n" * 9})})})),
        lambda: (".npz", _zipped({"ecg.npy": _npy_head((12, 10**9)) + bytes(2**20)})),
        lambda: (".gz", zeros.compress(bytes(80 * 2**20)) + zeros.flush()),
        lambda: (".npy", _npy_head((12, 10**12))),
        lambda: (".npy", _npy_head((12, 500), "|O") + b"cos\nsystem\n(S'touch evil'\ntR."),
        lambda: (".xml", _laughs()),
        lambda: (".xml", b"<a>" * 200_000),
        lambda: (".xml", b"<AnnotatedECG>" + b"<x " + b"a='1' " * 9 + b"/>" * 100_000),
        lambda: (".xml", f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{canary}">]><a>&x;</a>'.encode()),
        lambda: (".xml", f'<!DOCTYPE a SYSTEM "file://{canary}"><AnnotatedECG/>'.encode()),
        lambda: (".hea", f"a 1 100 300\n{canary} 16 200 16 0 0 0 0 II\n".encode()),
        lambda: (".hea", b"a/2 1 100 300\n../b 100\n/c 200\n"),
        lambda: (".hea", b"a/5000 1 100 300\n" + b"b 1\n" * 5000),
        lambda: (".png", _png_head(100_000, 100_000)),
        lambda: (".pdf", b"%PDF-1.4\n1 0 obj<</Kids[1 0 R]/Type/Pages/Count 99999999>>endobj\n"),
        lambda: (".csv", b"I,II\n" + b"1," * 500_000 + b"\n"),
        lambda: (".csv", b"I;II\n" + b'"' + b"1;2\n" * 300_000),
        lambda: (".csv", b"9" * 5_000_000),
    ]
    return rng.choice(kinds)()


def _zipped(members: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def _npy_head(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text


def _png_head(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + crc

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    body = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _laughs() -> bytes:
    rows = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10 if k else "ha" * 50}">' for k in range(10))
    return f"<!DOCTYPE a [{rows}]><AnnotatedECG>&l9;</AnnotatedECG>".encode()


DAMAGES = (_flipped, _truncated, _absurd_field, _absurd_field, _rearranged, _random)


def damaged(rng: random.Random, family: Family, seeds: list[Files], all_seeds: list[Files],
            canary: str) -> Files:  # fmt: skip
    """One input for a family: a valid one with one to three of its files' faults, or a bomb."""
    suffix = rng.choice(family.suffixes)
    roll = rng.random()
    if roll < 0.02:
        kind, content = _bomb(rng, canary)
        suffix = kind if rng.random() < 0.8 or kind in family.suffixes else suffix
        return [("a" + suffix, content)]
    files = [*rng.choice(seeds or all_seeds)]
    if not seeds:
        files = [("a" + suffix, files[0][1])]
    if roll < 0.06:  # under another name, or none
        files = [(rng.choice(["x", "a" + suffix, "a.csv", "..hea", "a" * 200, "%00.edf"]), c)
                 for _, c in files[:1]]  # fmt: skip
    if roll < 0.1 and len(files) > 1:
        files.pop(rng.randrange(len(files)))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        k = rng.randrange(len(files))
        name, content = files[k]
        if rng.random() < 0.08:  # spliced with another file
            other = rng.choice(rng.choice(all_seeds))[1]
            at = _place(rng, content)
            content = content[:at] + other[min(at, _place(rng, other)) :]
        elif content:
            content = rng.choice(DAMAGES)(rng, content)
        files[k] = (name, content)
    if rng.random() < 0.04:
        within = rng.choice(["", "ECG/", "../", "/", "__MACOSX/._", "a/../../"])
        packed = _zipped({within + name: content for name, content in files})
        files = [("a.zip", _flipped(rng, packed) if rng.random() < 0.5 else packed)]
    return files


# --- one process that reads ----------------------------------------------------------------------


@dataclass
class Sandbox:
    """Folders of a reading process. Nothing but `temp` may be written to, and `canary` not read."""

    root: Path
    strays: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in ("input", "temp", "cwd"):
            (self.root / folder).mkdir(exist_ok=True)

    @property
    def canary(self) -> str:
        return str(self.root / "canary.dat")

    def watch(self, event: str, arguments: tuple) -> None:
        """An audit hook: what the process opens or changes."""
        if event == "open":
            path, mode, flags = arguments
            if not isinstance(path, str | bytes | os.PathLike):
                return
            text = _absolute(os.fsdecode(path))
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if text == self.canary or (writes and not self._may_change(text)):
                self.strays.append(f"open {text}")
        elif event in ("os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.rmdir"):
            text = os.fsdecode(arguments[1 if event in ("os.link", "os.symlink") else 0])
            if event in ("os.remove", "os.rmdir", "os.mkdir") and arguments[-1] != -1:
                text = f"{Path(f'/proc/self/fd/{arguments[-1]}').readlink()}/{text}"
            if not self._may_change(_absolute(text)):
                self.strays.append(f"{event} {text}")
        elif event in ("os.system", "subprocess.Popen", "socket.connect"):
            self.strays.append(event)

    def _may_change(self, path: str) -> bool:
        inside = path.startswith(str(self.root / "temp"))
        return inside or path in ("/dev/null", os.devnull) or "__pycache__" in path

    def left(self) -> list[str]:
        """What an input left behind in the folders, removed."""
        found = []
        for folder in ("temp", "cwd"):
            for path in (self.root / folder).iterdir():
                found.append(f"left {folder}/{path.name}")
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return found


def _absolute(path: str) -> str:
    """Without following links, as Path.resolve would: it opens folders, which is watched too."""
    return os.path.normpath(f"{Path.cwd()}/{path}" if not path.startswith("/") else path)


def read_one(
    sandbox: Sandbox, files: Files, number: int, read: Callable[..., ECG], seconds: float
) -> tuple[str, str]:
    """(what became of an input, a remark)."""
    place = sandbox.root / "input"
    shutil.rmtree(place)
    place.mkdir()
    paths = []
    for name, content in files:
        path = place / name
        path.write_bytes(content)
        paths.append(path)
    sandbox.strays.clear()
    given = [{}, {"rate_hz": 100.0, "units": "mV"}][number % 2]
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ecg = read(paths, **given)
        good = isinstance(ecg, ECG) and ecg.signal_mv.shape[0] == 12 and ecg.seconds <= 600.01
        result = ("ECG", "") if good else ("crash", "an ECG that breaks its promises")
    except EcgFileError as error:
        message = str(error)
        if isinstance(error.__cause__, MemoryError):
            result = ("memory", message)
        elif not 10 < len(message) < 600 or "\n" in message or "Traceback" in message:
            result = ("crash", f"message: {message[:300]}")
        elif message.startswith(GENERAL):
            result = ("general", repr(error.__cause__)[:150])
        else:
            result = ("sentence", "")
    except TooLong:
        result = ("hang", f"{seconds} s")
    except MemoryError as error:
        result = ("memory", repr(error))
    except BaseException as error:
        result = ("crash", repr(error)[:300])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    strays = [*sandbox.strays, *sandbox.left()]
    return ("stray", "; ".join(strays)[:300]) if strays else result


def worker(pipe, root: str, read: Callable[..., ECG], seconds: float) -> None:
    """Reads inputs from a pipe until None comes."""

    def too_long(*_: object) -> None:
        raise TooLong

    sandbox = Sandbox(Path(root))
    tempfile.tempdir = str(sandbox.root / "temp")
    os.chdir(sandbox.root / "cwd")
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)
    signal.signal(signal.SIGPROF, too_long)
    # What the imports took before is not the inputs'.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    sys.addaudithook(sandbox.watch)
    while (task := pipe.recv()) is not None:
        pipe.send(read_one(sandbox, *task, read, seconds))


class Reader:
    """A reading process, started again when it dies.

    It is forked by a server that has imported all and runs no threads: a fork of this process would
    copy the locks that other threads hold.
    """

    def __init__(
        self, root: Path, read: Callable[..., ECG] = read_ecg, seconds: float = SECONDS
    ) -> None:
        self.root, self._read, self._seconds = root, read, seconds
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([worker.__module__, read.__module__])
        self._start()

    def _start(self) -> None:
        self.pipe, theirs = self._context.Pipe()
        given = (theirs, str(self.root), self._read, self._seconds)
        self.process = self._context.Process(target=worker, args=given, daemon=True)
        self.process.start()
        theirs.close()

    def read(self, files: Files, number: int) -> tuple[str, str]:
        self.pipe.send((files, number))
        try:
            if self.pipe.poll(SILENT_S):
                return self.pipe.recv()
            result = ("hang", f"no answer in {SILENT_S} s")
        except EOFError:
            result = ("crash", "the process died")
        self.process.kill()
        self.process.join()
        self._start()
        return result

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


# --- all of it -----------------------------------------------------------------------------------

FAULTS = ("crash", "hang", "memory", "stray")
COLUMNS = ("ECG", "sentence", "general", *FAULTS)


def fuzz(inputs: int, seed: int = 0, only: str | None = None, keep: Path | None = None
         ) -> dict[str, Counter[str]]:  # fmt: skip
    """Runs `inputs` inputs, as many for each family. Returns family → what became of them."""
    table: dict[str, Counter[str]] = {}
    seeds = {name_of(family): seeds_of(family) for family in FAMILIES}
    all_seeds = [files for sets in seeds.values() for files in sets]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        root = Path(folder)
        (root / "canary.dat").write_bytes(bytes(2000))
        reader = Reader(root)
        for family in FAMILIES:
            name = name_of(family)
            if only and name != only:
                continue
            counts = table.setdefault(name, Counter())
            for files in seeds[name]:
                counts["seeds"] += 1
                counts["seeds read"] += reader.read(files, number=1)[0] == "ECG"
            for number in range(inputs // len(FAMILIES) // (10 if name in SLOW else 1)):
                rng = random.Random(f"{seed} {name} {number}")
                files = damaged(rng, family, seeds[name], all_seeds, str(root / "canary.dat"))
                kind, remark = reader.read(files, number)
                counts[kind] += 1
                if kind in FAULTS:
                    print(f"{name} {seed} {number}: {kind}: {remark}", flush=True)
                    if keep:
                        place = keep / f"{name}-{seed}-{number}"
                        place.mkdir(parents=True, exist_ok=True)
                        for file_name, content in files:
                            (place / file_name).write_bytes(content)
                elif kind == "general":
                    counts["because " + remark.split("(")[0]] += 1
        reader.stop()
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one family")
    parser.add_argument("--keep", type=Path, help="folder for inputs that failed")
    given = parser.parse_args()
    table = fuzz(given.inputs, given.seed, given.only, given.keep)
    print(f"{'family':14s} {'seeds':>9s} {'inputs':>7s}", *(f"{c:>8s}" for c in COLUMNS))
    for name, counts in table.items():
        n = sum(counts[c] for c in COLUMNS)
        read = f"{counts['seeds read']}/{counts['seeds']}"
        print(f"{name:14s} {read:>9s} {n:7d}", *(f"{counts[c]:8d}" for c in COLUMNS))
    total = sum(table.values(), Counter())
    n = sum(total[c] for c in COLUMNS)
    print(f"{'all':14s} {'':9s} {n:7d}", *(f"{total[c]:8d}" for c in COLUMNS))
    because = [f"{k[8:]} {v}" for k, v in total.most_common() if k.startswith("because ")]
    print("general sentence because of:", ", ".join(because) or "nothing")
    return int(any(total[fault] for fault in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
