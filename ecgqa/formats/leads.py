"""Lead names in any spelling, and the limb leads that follow from two others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgqa.formats.upload import shown
from ecgqa.record import LEADS, LIMB_OF_I_AND_II, EcgFileError

MAX_CHANNELS = 64
_MAX_NAME = 100

_BY_LETTERS = {
    **{lead.casefold(): lead for lead in LEADS},
    **dict(zip(("d1", "d2", "d3", "di", "dii", "diii"), LEADS[:3] * 2, strict=True)),
}
_IEC_CHEST = {f"c{k}": f"V{k}" for k in range(1, 7)}
"""IEC 60601-2-25 calls the chest leads C1 to C6. Those are also places on the scalp (EEG)."""
_STAND_INS = {
    **dict(zip(("mli", "mlii", "mliii", "ml1", "ml2", "ml3"), LEADS[:3] * 2, strict=True)),
    **{f"mcl{k}": f"V{k}" for k in range(1, 7)},
}
_SPELLING = re.compile(
    r"""(?:(?:mdc[_ ])?(?:ecg|ekg)(?:[_ ](?:lead|elec[_ ]potl))?[\s_:.\-]*)?   # MDC_ECG_LEAD_, ECG
        (?:(?:lead|derivation|dérivation|derivación|derivacion|derivazione|derivação|derivacao
           |ableitung|afleiding|avledning|afledning|odprowadzenie|deriv\.|abl\.)[\s_:.\-]*)?  # Lead
        (?P<lead>iii|ii|i|a[\s_]?v[\s_]?[rlf]|[vc][\s_]?[1-6]|d[\s_]?(?:iii|ii|i|[123])
                |ml[\s_]?(?:iii|ii|i|[123])|mcl[\s_]?[1-6])
        (?:[\s_/,\-]+(?:nv|uv|μv|mv)|[\s_/,]+v)?""",
    re.VERBOSE,
)
# "-aVR", "Lead -aVR", "aVR (inverted)", "MDC_ECG_LEAD_aVRneg"; not "ECG-II" or "ECG - II".
_INVERTED = re.compile(
    r"(?:^|[\s_:])[-−–](?=[a-z])|(?:\b|_|(?<=[rlf123456i]))(?:inv(?:erted|ertiert|ersée?)?|neg(?:ativ|ative)?"
    r"|minus|reversed|flipped)(?:\b|_)"
)
UNNAMED = tuple(f"(unnamed {number})" for number in range(1, len(LEADS) + 1))
"""Stand for the leads of channels, in their order, where no name tells which leads they are."""
_ANY_LEAD = re.compile(
    r"(?:mdc_)?(?:ecg|ekg|electrocardiogram|lead|signal|channel|chan|ch|sig|data|values?|samples?"
    r"|voltages?|amplitudes?|potentials?|[nuμm]?v|y)?"
    r"[\s_:.\-]*(?:lead|signal|channel|data|raw|waveform|values?|voltages?)?[\s_:.\-#]*\d{0,2}"
)
_BEAT_BY_BEAT = re.compile(
    r"(?:hrm?|heart[\s_]*rate|bpm|pulse|r[\s_\-]*r|ibi|nn|hrv|beat)(?:[\s_\-]*(?:intervals?|bpm|ms|s))?"
)


@dataclass(frozen=True)
class LeadChoice:
    """Which channel of a file is which lead.

    channels: lead (as in `LEADS`) → index of the channel in the file.
    notes: what the reader should say about channels that were left out or stand in for a lead.
    """

    channels: Mapping[str, int]
    notes: tuple[str, ...]


_AROUND = " \t'\",;"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name[:_MAX_NAME]).casefold().strip(_AROUND)


def is_inverted(name: str) -> bool:
    """True for the name of a standard lead turned upside down: "-aVR", "aVR (inverted)"."""
    text = _folded(name)
    return bool(_INVERTED.search(text)) and lead_of(_INVERTED.sub(" ", text)) is not None


def _letters(name: str) -> str | None:
    text = _folded(name)
    if _INVERTED.search(text):
        return None
    text = re.sub(r"[\[({][^\])}]*[\])}]", " ", text).strip(_AROUND)
    match = _SPELLING.fullmatch(text)
    return re.sub(r"[\s_]", "", match["lead"]) if match else None


def lead_of(name: str) -> str | None:
    """The standard lead that a channel's name stands for, None where it is none of the twelve.

    Case, order, brackets, units and the usual words around it do not matter: "AVR", "avr",
    "Lead I (Einthoven)", "MDC_ECG_LEAD_V1", "V1 (mV)", "DII". A bare number ("Lead 1", "ch2") is
    never taken for a lead, and neither is an inverted one ("-aVR").
    """
    return _BY_LETTERS.get(_letters(name) or "")


def stand_in_of(name: str) -> str | None:
    """The standard lead that a monitoring lead is read as: MLII as II, MCL1 as V1; else None.

    Holter and bedside monitors move the limb electrodes to the trunk ("modified lead": ML I-III,
    MCL 1-6) and look along nearly the same axis, so rhythm and intervals can be read, amplitudes
    and axes only roughly. This is why the reading is allowed, and always with a note. See Mason
    and Likar, Am Heart J 1966;71:196 (trunk electrodes) and Drew et al., Circulation
    2004;110:2721, doi 10.1161/01.CIR.0000145144.56673.59 (MCL1 as a substitute for V1).
    """
    return _STAND_INS.get(_letters(name) or "")


def choose_leads(names: Sequence[str], expected: Collection[int | None] = ()) -> LeadChoice:
    """Finds the twelve leads among the channel names of a file.

    expected: indices of channels that are known to be no lead (a time column): not remarked on.

    Raises EcgFileError when there are more than `MAX_CHANNELS` channels or no lead among them.
    """
    if len(names) > MAX_CHANNELS:
        raise EcgFileError(
            f"The file has {len(names)} channels; an ECG with up to {MAX_CHANNELS} can be read."
        )
    channels: dict[str, int] = {}
    notes: list[str] = []
    ignored: list[str] = []
    twice: list[str] = []
    letters = {_letters(name) for name in names}
    iec = _IEC_CHEST if _IEC_CHEST.keys() <= letters and "cz" not in map(_folded, names) else {}
    standard = [lead_of(name) or iec.get(_letters(name) or "") for name in names]
    for index, name in enumerate(names):
        lead = None if index in expected else standard[index]
        if lead and lead not in channels:
            channels[lead] = index
        elif lead:
            twice.append(shown(name))
    turned = [
        shown(name) for k, name in enumerate(names) if k not in expected and is_inverted(name)
    ]
    for index, name in enumerate(names):
        stand_in = stand_in_of(name)
        if stand_in and stand_in not in channels:
            channels[stand_in] = index
            notes.append(
                f"Channel {shown(name)} is shown as lead {stand_in}: a monitoring lead, amplitudes "
                "and axes are only approximate."
            )
        elif (stand_in or not standard[index]) and index not in expected:
            ignored.append(shown(name) or "(no name)")
    of_any_lead = [
        k for k, name in enumerate(names) if k not in expected and _ANY_LEAD.fullmatch(_bare(name))
    ]
    if not channels and len(of_any_lead) == 1:
        channels[UNNAMED[0]] = of_any_lead[0]
        ignored.remove(shown(names[of_any_lead[0]]) or "(no name)")
    if not channels:
        raise _no_lead(names, ignored)
    if twice:
        notes.append(f"These leads occur more than once, the first was kept: {_listed(twice)}.")
    if turned:
        notes.append(
            f"Inverted leads are not shown: {_listed(turned)}. Where two limb leads are there, the "
            "upright one is calculated."
        )
        ignored = [name for name in ignored if name not in turned]
    if ignored:
        notes.append(f"Channels that are not among the 12 leads were left out: {_listed(ignored)}.")
    return LeadChoice(channels, tuple(notes))


def _no_lead(names: Sequence[str], ignored: Sequence[str]) -> EcgFileError:
    """What to say where none of the channels is a lead."""
    if any(_BEAT_BY_BEAT.fullmatch(_bare(name)) for name in names):
        return EcgFileError(
            "The file holds heart rates, or intervals from beat to beat, not the curve of an ECG. "
            "Please export the ECG itself."
        )
    called_so = _listed(ignored) or "(no name)"
    return EcgFileError(
        f"No ECG lead was found. The file's channels are called: {called_so}. "
        f"Leads are recognised by their names ({', '.join(LEADS)})."
    )


def choose_without_names(
    n_channels: int, has_rate: bool, has_units: bool, what: str, hint: str
) -> LeadChoice:
    """Twelve nameless channels in the standard order, fewer as `UNNAMED`: the user names them.

    has_rate, has_units: whether they are known, from the file or from the user. what: a channel in
    this kind of file, "column"; hint: how names can be given in it.
    Raises EcgFileError for more channels, and one that asks for rate and units where unknown.
    """
    if not 0 < n_channels <= len(LEADS):
        raise EcgFileError(f"The file holds {n_channels} {what}s without lead names. {hint}")
    missing = {
        **({} if has_rate else {"rate_hz": "the sampling rate (rate_hz)"}),
        **({} if has_units else {"units": "the units (mV, uV or a step size such as “5 uV”)"}),
    }
    if missing and n_channels == len(LEADS):
        raise EcgFileError(
            f"The file does not name its leads. Its 12 {what}s can be read as I, II, III, aVR, "
            f"aVL, aVF, V1-V6, but please also give {' and '.join(missing.values())}.",
            wants=tuple(missing),
        )
    if missing:
        raise EcgFileError(
            f"The file holds {n_channels} lead{'s' * (n_channels > 1)} without names. "
            f"Please give {', '.join(missing.values())} and, in their order, the leads (leads), "
            f"for example II. {hint}",
            wants=(*missing, "leads"),
        )
    stand_ins = LEADS if n_channels == len(LEADS) else UNNAMED[:n_channels]
    return LeadChoice({lead: k for k, lead in enumerate(stand_ins)}, ())


def called(lead: str) -> str:
    """A lead as a message names it."""
    return "its numbers" if lead in UNNAMED else f"lead {lead}"


def _bare(name: str) -> str:
    """A name without its brackets and its unit."""
    text = re.sub(r"[\[({][^\])}]*[\])}]", " ", _folded(name)).strip(_AROUND)
    return re.sub(r"[\s_/,]+(?:nv|uv|μv|mv)$", "", text)


def order_of(text: str) -> tuple[str, ...]:
    """The leads that a user lists, "I, II, V1". Raises EcgFileError for anything else."""
    names = [part for part in re.split(r"[\s,;|]+", text.strip()) if part]
    leads = tuple(lead_of(name) or "" for name in names[: len(LEADS) + 1])
    if not leads or "" in leads or len(set(leads)) < len(leads):
        raise EcgFileError(
            f"“{shown(text)}” is no list of different leads. They are called {', '.join(LEADS)}."
        )
    return leads


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def with_derived(
    leads_mv: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Adds the limb leads that are missing, where two of the six are there.

    leads_mv: lead → float [n] mV, all simultaneous.
    Returns all limb leads and a note that names what was calculated. The three potentials of the
    limbs leave two unknowns, so any two limb leads give the other four: III = II - I (Einthoven's
    law; Einthoven, Fahr, de Waart, Pflügers Arch 1913;150:275) and aVR = -(I + II)/2,
    aVL = (I - III)/2, aVF = (II + III)/2 (Goldberger, Am Heart J 1942;23:483).
    """
    leads = dict(leads_mv)
    held = [lead for lead in LIMB_OF_I_AND_II if lead in leads]
    derived = [lead for lead in LIMB_OF_I_AND_II if lead not in leads]
    if len(held) < 2 or not derived:
        return leads, ()
    weights = np.linalg.inv([LIMB_OF_I_AND_II[lead] for lead in held[:2]])
    one, two = (a * leads[held[0]] + b * leads[held[1]] for a, b in weights)
    for lead in derived:
        of_one, of_two = LIMB_OF_I_AND_II[lead]
        leads[lead] = of_one * one + of_two * two
    return leads, (f"Calculated from the other limb leads: {', '.join(derived)}.",)
