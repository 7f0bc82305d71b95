from __future__ import annotations

import numpy as np
import pytest

from ecgqa import ECG
from ecgqa.record import LEADS


def test_keeps_its_promises():
    signal = np.zeros((12, 500), np.float64)
    signal[3] = np.nan
    signal[4, 7] = np.inf
    ecg = ECG(signal, 100, "a")
    assert ecg.signal_mv.dtype == np.float32 and ecg.signal_mv.shape == (12, 500)
    assert ecg.missing_leads == ("aVR",) and np.isnan(ecg.signal_mv[4, 7])
    assert ecg.seconds == 5.0 and ecg.leads == LEADS
    with pytest.raises(ValueError, match="read-only"):
        ecg.signal_mv[0, 0] = 1
    signal[0, 0] = 9
    assert ecg.signal_mv[0, 0] == 0, "the record must not share memory with what it was made from"


def test_a_stretch_knows_where_it_lies():
    whole = ECG(np.tile(np.arange(6000), (12, 1)), 100, "a minute", "f" * 64)
    part = whole.stretch(20)
    assert part.seconds == 10 and part.start_s == 20 and part.signal_mv[0, 0] == 2000
    assert part.title == "a minute, 20 to 30 s" and part.sha256 == whole.sha256
    assert whole.stretch(0).title == "a minute"
    assert whole.stretch(59).start_s == 50 and whole.stretch(-5).start_s == 0
    assert part.stretch(0) is part, "ten seconds are all there is"


@pytest.mark.parametrize(
    ("shape", "rate_hz"),
    [((11, 500), 100), ((12, 0), 100), ((12, 5), 0), ((12, 5), float("nan")), ((12,), 100)],
)
def test_refuses_what_is_no_ecg(shape, rate_hz):
    with pytest.raises(ValueError, match="must be"):
        ECG(np.zeros(shape), rate_hz, "a")
