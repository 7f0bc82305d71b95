"""`digitise(picture)`: a printed ECG, scanned or photographed straight on → millivolts.

picture → even light → level `grid` → `ink` → `trace` of each row → `layout` → `Printout`.
Nothing is read from letters: the lead names follow from the layout, the scale from the squares and
the calibration pulse, and both are said in the notes.
"""

from ecgqa.digitise.printout import Printout, digitise

__all__ = ["Printout", "digitise"]
