"""Pictures of printed ECGs: PNG, JPEG and WebP, and the first page of a PDF."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pypdfium2
from PIL import Image, ImageOps, UnidentifiedImageError

from ecgqa.digitise import digitise
from ecgqa.formats.recording import Recording
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.record import EcgFileError

MAX_PIXELS = 60_000_000
"""Larger pictures are not opened: an A4 scan of 600 dpi has 35 million."""
LONGEST_PX = 2800
"""Pictures are brought down to this: 240 dpi on A4, two pixels to the thickness of a trace."""
MIN_SIDE_PX = 400
_PDF, _PNG, _JPEG = b"%PDF", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def looks_right(head: bytes) -> bool:
    """Whether a file begins like a PNG, JPEG, WebP or PDF."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return True
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((_PDF, _PNG, _JPEG))


def read(
    uploads: Sequence[Upload], rate_hz: float | None = None, units: str | None = None
) -> Recording:
    """Digitises one printout, see `ecgqa.digitise`. rate_hz and units do not matter here.

    Raises EcgFileError when the picture cannot be opened, is too large, or shows no printed ECG.
    """
    check_size(uploads)
    (upload,) = uploads
    is_pdf = upload.head(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_PDF)
    picture, notes = _page(upload) if is_pdf else (_image(upload), ())
    if min(picture.size) < MIN_SIDE_PX:
        raise EcgFileError(
            f"The picture has only {picture.width} × {picture.height} pixels: too few to read an "
            "ECG from. Please scan the printout with 200 dots per inch."
        )
    printout = digitise(np.asarray(picture))
    return Recording(
        printout.leads_mv,
        printout.rate_hz,
        upload.stem,
        notes + printout.notes,
        tracing_png=printout.tracing_png,
    )


def _image(upload: Upload) -> Image.Image:
    """The picture upright, on white, at most `LONGEST_PX` long."""
    try:
        with warnings.catch_warnings():
            # The library warns of large pictures; the check below refuses them.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(upload.path, formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise EcgFileError(
                        f"{shown(upload.name)} has {image.width * image.height / 1e6:.0f} million "
                        f"pixels; up to {MAX_PIXELS / 1e6:.0f} million can be read. Please scan "
                        "with 300 dots per inch."
                    )
                image.draft("RGB", (LONGEST_PX, LONGEST_PX))
                upright = ImageOps.exif_transpose(image)
                return _shrunk(_on_white(upright))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise EcgFileError(
            f"{shown(upload.name)} is damaged and cannot be opened as a picture. Please save or "
            "scan it again."
        ) from error


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey
        grey = np.asarray(image, dtype=np.float32)
        return Image.fromarray((grey * (255.0 / max(grey.max(), 1))).astype(np.uint8)).convert(
            "RGB"
        )
    if image.mode in ("RGB", "L", "CMYK", "YCbCr", "1") and "transparency" not in image.info:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    page = Image.new("RGBA", layer.size, "white")
    page.alpha_composite(layer)
    return page.convert("RGB")


def _shrunk(image: Image.Image) -> Image.Image:
    scale = LONGEST_PX / max(image.size)
    if scale >= 1:
        return image
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _page(upload: Upload) -> tuple[Image.Image, tuple[str, ...]]:
    """The first page of a PDF, `LONGEST_PX` long, and a note when there are more."""
    try:
        document = pypdfium2.PdfDocument(upload.path)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).casefold()
        raise EcgFileError(
            f"{shown(upload.name)} is protected by a password. Please save it without one."
            if locked
            else f"{shown(upload.name)} is damaged and cannot be opened as a PDF."
        ) from error
    try:
        n_pages = len(document)
        if n_pages == 0:
            raise EcgFileError(f"{shown(upload.name)} has no pages.")
        page = document[0]
        image = page.render(scale=LONGEST_PX / max(*page.get_size(), 1.0)).to_pil().convert("RGB")
    finally:
        document.close()
    return image, (f"Only the first of {n_pages} pages was read.",) if n_pages > 1 else ()
