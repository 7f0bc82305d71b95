"""SCP-ECG, the file of many resting ECG carts (EN 1064, ISO 11073-91064).

`sections` takes the file apart, `huffman` decompresses numbers, `rhythm` makes the recording of
them. A reader of our own: no library on PyPI reads SCP-ECG but one under the GPL (biosig).
"""

from ecgqa.formats.scp.rhythm import read
from ecgqa.formats.scp.sections import looks_right

__all__ = ["looks_right", "read"]
