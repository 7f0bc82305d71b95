"""Uploaded files: taken, deleted at once, read, and kept nowhere."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from gradio.route_utils import upload_fn
from gradio.routes import file_upload_statuses
from gradio.utils import get_upload_folder
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ecgqa.formats import read_ecg
from ecgqa.page.caps import Caps
from ecgqa.record import ECG, EcgFileError

Taken = list[tuple[str, bytes]]  # name and content of each file
_CLAIM = "of-a-request-"  # folders in that of an upload, see `claimed`
NOT_HERE = "This file is not here any more: please upload it again."
NOT_WHOLE = "These files did not arrive whole, or their names cannot be used: please try again."


async def take_in(request: Request, kept: set[str], caps: Caps) -> Response:
    """Take one upload into a folder of its own, and answer with the paths of its files.

    By itself gradio puts files of the same content and name at the same place: of two sessions that
    uploaded one at the same moment, the first to read it would take it away from the other. kept:
    the files that gradio deletes at last, where nothing has read them.
    """
    upload_id = request.query_params.get("upload_id")
    folder = Path(get_upload_folder(), secrets.token_hex(16))
    try:
        paths, _, _ = await upload_fn(
            request, folder, caps.file_bytes, upload_id,
            upload_progress=file_upload_statuses if upload_id else None,
        )  # fmt: skip
    except BaseException as error:  # what arrived of it is nobody's
        shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(error, MultiPartException | HTTPException | OSError | ValueError):
            raise
        if "File size exceeded" in str(error):
            return PlainTextResponse(f"A file may have up to {caps.file_bytes // 2**20} MB.", 413)
        return PlainTextResponse(NOT_WHOLE, 400)
    if not paths:
        shutil.rmtree(folder, ignore_errors=True)
    kept.update(paths)
    return JSONResponse(paths)


def claimed(upload: str) -> str:
    """A path of a request's own to an upload that it names, so that no other can take it away.

    The same path where the file is not here, or the file system has no second names for one file.
    `take` deletes it, `forget` the upload itself.
    """
    path = Path(upload).resolve()
    if path.parent.name.startswith(_CLAIM) or not path.is_file():
        return upload
    own = path.parent / f"{_CLAIM}{secrets.token_hex(16)}" / path.name
    try:
        own.parent.mkdir()
        own.hardlink_to(path)
    except OSError:
        with contextlib.suppress(OSError):
            own.parent.rmdir()
        return upload
    return str(own)


def nowhere() -> str:
    """A path of this app's uploads at which there is nothing."""
    return str(Path(get_upload_folder()).resolve() / "gone")


def is_upload(path: Path) -> bool:
    """Whether a path is, or was, that of an upload of this app."""
    folder = Path(get_upload_folder()).resolve()
    return path.resolve().is_relative_to(folder)


def still_here(uploads: Iterable[str | Path] | None) -> list[str | Path]:
    """What a box of files holds that was not yet taken, each once.

    Until a file is read its box keeps it, and sends it along with the next one. All of them where
    none is left: `take` then says so.
    """
    each = list(dict.fromkeys(uploads or ()))
    return [upload for upload in each if Path(upload).is_file()] or each


def take(uploads: Iterable[str | Path], most: int = Caps.files) -> Taken:
    """The bytes of uploaded files, which are deleted here and now: others could read them by URL.

    Raises EcgFileError for a path that is not an upload of this app, or more files than `most`.
    """
    uploads = list(dict.fromkeys(uploads))
    taken = []
    for upload in uploads:
        path = Path(upload).resolve()
        if not is_upload(path) or not path.is_file():  # of a foreign path nothing is done
            raise EcgFileError(NOT_HERE)
        if len(uploads) <= most:
            taken.append((path.name, path.read_bytes()))
        path.unlink(missing_ok=True)
        _clear_away(path.parent)
    if len(uploads) > most:
        raise EcgFileError(f"These are {len(uploads)} files; up to {most} can be read at once.")
    return taken


def _clear_away(place: Path) -> None:
    """Delete the folders of an upload (see `take_in`) that is read, where they are empty."""
    folder = Path(get_upload_folder()).resolve()
    with contextlib.suppress(OSError):
        while place.parent != folder:
            place.rmdir()
            place = place.parent
        place.rmdir()


def read_taken(
    taken: Taken, rate_hz: float | None, units: str | None, leads: str | None = None
) -> ECG:
    """Read files that were taken, through a folder that is gone afterwards.

    rate_hz, units, leads: what a file may leave unsaid, see `read_ecg`.
    """
    for said in (units, leads):
        if isinstance(said, str) and len(said) > Caps.unsaid:
            raise EcgFileError(
                f"The unit and the names of the leads may have up to {Caps.unsaid} characters."
            )
    with tempfile.TemporaryDirectory(prefix="ecgqa-") as folder:
        paths = []
        for index, (name, content) in enumerate(taken):
            path = Path(folder, str(index), name)
            path.parent.mkdir()
            path.write_bytes(content)
            paths.append(path)
        return read_ecg(paths, rate_hz=rate_hz or None, units=units or None, leads=leads or None)


def uploaded(files: object) -> Iterable[str]:
    """Paths of files as `gradio_client.handle_file` sends them: a list of {"path": ...}."""
    if not isinstance(files, list) or not all(
        isinstance(file, dict) and isinstance(file.get("path"), str) for file in files
    ):
        raise EcgFileError("Please give `files` as a list of handle_file(...).")
    return [file["path"] for file in files]


def forget(uploads: Iterable[str]) -> None:
    """Delete the uploads of which these paths are a request's own, when it has read them."""
    for upload in uploads:
        place = Path(upload).resolve().parent
        if place.name.startswith(_CLAIM) and is_upload(place):
            (place.parent / Path(upload).name).unlink(missing_ok=True)
            _clear_away(place.parent)


def read_whole(
    places: Sequence[object], rate_hz: float | None, units: str | None, leads: str | None = None
) -> list[ECG]:
    """The ECGs of a request, one for each list of files as `uploaded` takes it."""
    each = [list(dict.fromkeys(uploaded(files))) for files in places]
    # One upload may stand in two places. All are taken, and so deleted, before the first is read:
    # it may be at fault.
    every = list(dict.fromkeys(path for paths in each for path in paths))
    try:
        taken = dict(zip(every, take(every), strict=True))
        return [
            read_taken([taken[path] for path in paths], rate_hz, units, leads) for paths in each
        ]
    finally:
        forget(every)


def read_request(
    files: object,
    comparison_files: object,
    rate_hz: float | None,
    units: str | None,
    start_s: float = 0.0,
    leads: str | None = None,
) -> tuple[ECG, ECG | None]:
    """The ten seconds of a request's ECG, and of the one to compare it with if it sent one."""
    places = [files, comparison_files] if comparison_files else [files]
    ecg, *other = read_whole(places, rate_hz, units, leads)
    return ecg.stretch(start_s), other[0].stretch(0) if other else None
