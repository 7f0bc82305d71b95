"""`measure(ecg)`: beats, rate, intervals, axes and voltages, from the signal alone."""

from ecgqa.measure.columns import measure
from ecgqa.measure.measurements import Beat, LeadValues, Measurements, Times

__all__ = ["Beat", "LeadValues", "Measurements", "Times", "measure"]
