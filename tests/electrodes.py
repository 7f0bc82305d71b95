"""What a recorder shows where limb electrodes are mixed up, from a correct recording."""

from __future__ import annotations

import numpy as np

SWAPS = {
    "none": {},
    "right arm, left arm": {"RA": "LA", "LA": "RA"},
    "right arm, left leg": {"RA": "LL", "LL": "RA"},
    "left arm, left leg": {"LA": "LL", "LL": "LA"},
    "right arm, right leg": {"RA": "RL", "RL": "RA"},
    "left arm, right leg": {"LA": "RL", "RL": "LA"},
    "both arms, both legs": {"RA": "RL", "RL": "RA", "LA": "LL", "LL": "LA"},
}
LEG_SHARE, LEG_MV = 0.97, 0.01  # the right leg's potential follows the left one's, but for noise


def swapped(signal_mv: np.ndarray, plugs: dict[str, str], seed: int = 0) -> np.ndarray:
    """The leads [12, n] mV of a recorder of which some plugs sit on another electrode.

    plugs: plug → electrode it is on, of RA, LA, LL, RL. Chest leads are measured against the mean
    of the three plugs RA, LA and LL (Wilson), so that they change a little too where RL is one.
    """
    noise_mv = np.random.default_rng(seed).normal(0, LEG_MV, signal_mv.shape[1])
    # Potentials against the right arm, of which only differences are ever seen.
    body = {"RA": np.zeros(signal_mv.shape[1]), "LA": signal_mv[0], "LL": signal_mv[1]}
    body["RL"] = LEG_SHARE * body["LL"] + noise_mv
    chest = signal_mv[6:] + (body["RA"] + body["LA"] + body["LL"]) / 3
    seen = {plug: body[plugs.get(plug, plug)] for plug in ("RA", "LA", "LL")}
    right, left, foot = seen["RA"], seen["LA"], seen["LL"]
    limb = [left - right, foot - right, foot - left]
    limb += [right - (left + foot) / 2, left - (right + foot) / 2, foot - (right + left) / 2]
    return np.concatenate([limb, chest - (right + left + foot) / 3])
