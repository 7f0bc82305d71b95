"""Base64 as it stands in XML → bytes."""

from __future__ import annotations

import binascii
import re


def bytes_of(text: str) -> bytes:
    """The bytes behind base64 with any white space, also where its padding was lost.

    Raises ValueError when it is no base64.
    """
    plain = re.sub(r"\s+", "", text).rstrip("=")
    return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
