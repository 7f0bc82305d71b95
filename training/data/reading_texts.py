"""Questions of every kind with what they ask, for the stage that teaches the reader.

Written by several people who saw none of the wordings to develop or test with, in
`training/data/reading/`:
noun phrases and whole questions for each finding, opposites side by side; frames that take any
finding; numbers, thresholds, reports, places, times, reasons; advice, other subjects, findings that
nobody labelled, other languages, several questions in one. ECG-QA's own templates and wordings
are a part of them. `Texts.draw` puts them together, with clinical chatter around and slips of the
keyboard within.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ecgqa.answer.options import RANGE_NAMES
from ecgqa.model.ecg_model import ONE_OF_TWO, YES_OR_NO
from ecgqa.question import kinds, reading
from ecgqa.record import LEADS
from training.data import questions
from training.data.ptbxl import GROUPS, LEAD_FORMS
from training.data.wordings import load_synonyms, load_wordings, word

T = TypeVar("T")
FOLDER = Path(__file__).with_name("reading")
DEV = Path(__file__).with_name("reading_dev.json")
OF_RANGE: dict[str, str] = dict(
    zip(RANGE_NAMES, (reading.BELOW, reading.WITHIN, reading.ABOVE), strict=True)
)
# How often each kind is drawn.
SHARES = {
    "finding": 26, "frame": 12, "template": 16, "range": 9, "choose": 8, "number": 6,
    "threshold": 5, "change": 3, "report": 2.5, "where": 3.5, "when": 2.5, "talk": 7,
    "follow-up": 5, "advice": 4.5, "outside": 8, "untrained": 11, "several": 4, "language": 3,
    "in lead": 2, "contrast": 4, "list": 7, "written": 9, "pair": 5, "denial": 3,
}  # fmt: skip
# A range in words, for questions that choose between two.
RANGE_WORDS = {
    "heart rate": ("slow", "fast", "normal"), "rr interval": ("short", "long", "normal"),
    "p duration": ("short", "long", "normal"), "pr interval": ("short", "long", "normal"),
    "qrs duration": ("narrow", "wide", "normal"), "qt interval": ("short", "long", "normal"),
    "qt corrected": ("short", "prolonged", "normal"),
}  # fmt: skip
UNITS = {
    "heart rate": ("bpm", "/min", "per min", "beats per minute", ""),
    "number of beats": ("",), "number of extra beats": ("",),
    "rr variability": ("%", "ms", ""),
    "p axis": ("°", " degrees", ""), "qrs axis": ("°", " degrees", ""), "t axis": ("°", ""),
    "p amplitude": ("mm", " mV"), "q amplitude": ("mm", " mV"), "r amplitude": ("mm", " mV"),
    "s amplitude": ("mm", " mV"), "t amplitude": ("mm", " mV"), "st level": ("mm", " mV", " mm"),
    "sokolow-lyon index": (" mm", " mV"), "cornell voltage": (" mm", " mV"),
}  # fmt: skip
USUAL = {
    "heart rate": (40, 180, 5), "number of beats": (5, 20, 1), "number of extra beats": (1, 6, 1),
    "rr variability": (5, 40, 5), "p axis": (-30, 90, 15), "qrs axis": (-60, 110, 10),
    "t axis": (-30, 120, 15), "sokolow-lyon index": (25, 45, 1), "cornell voltage": (15, 30, 1),
    "rr interval": (400, 1500, 50), "p duration": (80, 140, 5), "pr interval": (100, 300, 10),
    "qrs duration": (80, 180, 5), "qt interval": (300, 520, 10), "qt corrected": (320, 550, 10),
    "longest pause": (1000, 4000, 250),
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A question and what it asks. None: not said, and not to be learned from this one."""

    text: str
    kind: str
    names: tuple[str, ...] | None = ()
    fate: str | None = ""
    side: str | None = ""
    absent: bool | None = False


class Texts:
    """All that was written, ready to be drawn from. See the module's first lines."""

    def __init__(self, facts: questions.Facts, ecgqa: Path | str | None, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.findings: dict[str, dict[str, list[str]]] = {}
        for file in sorted(FOLDER.glob("findings_*.json")):
            for name, said in json.loads(file.read_text()).items():
                kept = self.findings.setdefault(name, {"names": [], "questions": [], "absent": []})
                for part in kept:
                    kept[part] += said.get(part, [])
        synonyms = load_synonyms()
        for name, said in self.findings.items():
            said["names"] += [name, *synonyms.get(name, [])]
        self.quantities = _read("quantities")
        self.ranges, self.frames = _read("ranges"), _read("frames")
        self.changes = _read("changes")
        first, second = _read("kinds"), _read("kinds2")
        self.kinds = {kind: texts + second.get(kind, []) for kind, texts in first.items()}
        outside, more, rare = _read("outside"), _read("outside2"), _read("untrained2")
        self.kinds["advice"] += more["advice"]
        self.outside = outside["outside"] + more["outside"]
        self.terms = outside["untrained_terms"] + rare["terms"]
        self.rare_frames = [t for t in outside["untrained_questions"] if "{term}" in t]
        self.rare = [t for t in outside["untrained_questions"] if "{term}" not in t]
        self.rare += rare["questions"]
        self.lists, self.more = _read("lists"), _read("numbers2")
        self.written = _read("written")
        self.denials = [(text, name) for name, said in self.findings.items()
                        for text in said["absent"]]  # fmt: skip
        self.contrasts = rare["contrasts"] + more["yes_no_with_context"]
        self.of_range = self._range_questions()
        self.numbers = self._number_questions()
        self.wordings = load_wordings("train", ecgqa)
        self.synonyms = {
            **synonyms, **{name: said["names"] for name, said in self.findings.items()}
        }  # fmt: skip
        # Names that the templates fill in are said in all of their ways.
        self.keys = {
            t: questions.keys(template, facts, self.rng)
            for t, template in questions.TEMPLATES.items()
        }
        self.keys = {t: keys for t, keys in self.keys.items() if keys}
        self.names = [name for name in self.findings if name not in reading.TOGETHER]
        self.groups = self._groups()
        self.languages = [text for texts in outside["languages"].values() for text in texts]

    def _range_questions(self) -> list[tuple[str, str, str]]:
        out = []
        for quantity, said in self.quantities["quantities"].items():
            for side in (reading.ABOVE, reading.BELOW, reading.WITHIN):
                texts = said.get(side, []) + self.ranges.get(quantity, {}).get(side, [])
                out += [(text, quantity, side) for text in texts]
        more = self.ranges["normal_in_words"] + self.more["range"]
        out += [(one["text"], one["quantity"], one["side"]) for one in more]
        return out

    def _number_questions(self) -> dict[str, list[str]]:
        out = {name: list(said["number"]) for name, said in self.quantities["quantities"].items()}
        for quantity, texts in self.more["number"].items():
            out[quantity] += texts
        for one in self.ranges["number_sloppy"]:
            out[one["quantity"]].append(one["text"])
        for one in self.quantities["lead_amplitudes"]:
            out[one["quantity"]].append(one["text"])
        return out

    def _groups(self) -> list[list[str]]:
        """Findings that a question may weigh against each other."""
        groups = [list(names) for names in GROUPS.values()]
        groups += [[name for name in self.findings if word in name] for word in
                   ("myocardial infarction in", "ischemic in", "block", "sinus", "t-wave", "st ",
                    "extrasystoles", "hypertrophy", "voltage", "atrial", "stage of")]  # fmt: skip
        groups.append(list(self.findings))
        return [
            known for group in groups if len(known := [n for n in group if n in self.findings]) > 1
        ]

    # Drawing ------------------------------------------------------------------------------------

    def draw(self) -> Example:
        """One question."""
        (which,) = self.rng.choices(list(SHARES), list(SHARES.values()))
        example = getattr(self, "_draw_" + which.replace(" ", "_").replace("-", "_"))()
        return Example(self._as_typed(example), *list(vars(example).values())[1:])

    def _pick(self, texts: Sequence[T]) -> T:
        return self.rng.choice(texts)

    def _phrase(self, name: str) -> str:
        return self._pick(self.findings[name]["names"])

    def _draw_finding(self) -> Example:
        name = self._pick(list(self.findings))
        return Example(self._pick(self.findings[name]["questions"]), YES_OR_NO, (name,))

    def _draw_contrast(self) -> Example:
        """A trained finding in words that resemble an untrained one, or behind a long story."""
        one = self._pick(self.contrasts)
        return Example(one["text"], YES_OR_NO, (one["finding"],), absent=None)

    def _draw_frame(self) -> Example:
        name = self._pick(list(self.findings))
        absent = self.rng.random() < 0.3
        frame = self._pick(self.frames["absent" if absent else "present"])
        text = frame.replace("{x}", self._phrase(name))
        return Example(text, YES_OR_NO, (name,), absent=absent)

    def _draw_in_lead(self) -> Example:
        name = self._pick(list(LEAD_FORMS))
        text = self._pick(self.frames["in_lead"]).replace("{x}", self._phrase(name))
        return Example(text.replace("{lead}", self._pick(LEADS)), YES_OR_NO, (name,))

    def _draw_template(self) -> Example:
        number = self._pick(list(self.keys))
        template = questions.TEMPLATES[number]
        key = self._pick(self.keys[number])
        text = word(key, self.wordings, self.rng, self.synonyms, 0.6)
        kind, side = questions.kind_of(template), ""
        names: tuple[str, ...] | None = key.options if template.kind != "query" else ()
        absent: bool | None = False if template.kind == "verify" else None
        if template.group in ("feature_in_range", "ranges_of_feature"):
            names = (key.context,)
            if template.kind == "verify":
                side = OF_RANGE[key.options[0]]
        elif template.group == "features_in_range":
            side = OF_RANGE[key.context]
        elif template.group in ("leads_of_form", "leads_of_noise"):
            names = (key.context,)
        elif template.group in questions.UNNAMED and template.kind == "verify":
            names = (questions.UNNAMED[template.group],)
        elif template.group == "any_noise_in_lead":
            names = ("any noise",)
        elif template.group == "normal" and template.kind == "verify":
            names = ("normal ecg",)
        fate = questions.FATES[template.state] if template.ecgs == 2 else ""
        if fate:
            absent = None
        return Example(text, kind, names, fate, side, absent)

    def _draw_range(self) -> Example:
        text, quantity, side = self._pick(self.of_range)
        return Example(text, YES_OR_NO, (quantity,), side=side)

    def _draw_choose(self) -> Example:
        if self.rng.random() < 0.35:
            part = self._pick(self.changes["elliptic"])
            a, b = self.rng.sample(list(part["words"]), 2)
            names = tuple(dict.fromkeys((part["words"][a], part["words"][b])))
            if len(names) == 2:
                text = self._pick(part["frames"]).replace("{a}", a).replace("{b}", b)
                return Example(text, ONE_OF_TWO, names, absent=None)
        if self.rng.random() < 0.12:
            quantity = self._pick(list(RANGE_WORDS))
            a, b = self.rng.sample(RANGE_WORDS[quantity], 2)
            text = self._pick(self.changes["range_choose"]).replace("{a}", a).replace("{b}", b)
            text = text.replace("{q}", self._quantity(quantity))
            return Example(text, ONE_OF_TWO, (quantity,), side=None, absent=None)
        a, b = self.rng.sample(self._pick(self.groups), 2)
        text = self._pick(self.frames["choose"])
        text = text.replace("{a}", self._phrase(a)).replace("{b}", self._phrase(b))
        return Example(text, ONE_OF_TWO, (a, b), absent=None)

    def _quantity(self, name: str) -> str:
        return self._pick(self.quantities["quantities"][name]["names"])

    def _draw_number(self) -> Example:
        if self.rng.random() < 0.15:
            several = self.quantities["several_numbers"] + self.more["several_numbers"]
            one = self._pick(several)
            return Example(one["text"], kinds.NUMBER, tuple(one["quantities"]), absent=None)
        quantity = self._pick(list(self.numbers))
        text = self._pick(self.numbers[quantity]).replace("{lead}", self._pick(LEADS))
        return Example(text, kinds.NUMBER, (quantity,), absent=None)

    def _limit(self, quantity: str) -> tuple[float, str]:
        if quantity in USUAL:
            low, high, step = USUAL[quantity]
            value: float = self.rng.randrange(low, high + 1, step)
        else:
            value = self._pick([0.5, 1, 1.5, 2, 3, 5, 10, 15])
        unit = self._pick(UNITS.get(quantity, ("ms", " ms", " msec", "", " s")))
        if unit.strip() == "s":
            value = value / 1000
        elif unit.strip() == "mV":
            value = value / 10
        return value, unit

    def _draw_threshold(self) -> Example:
        side = self._pick([reading.ABOVE, reading.BELOW])
        if self.rng.random() < 0.5:
            one = self._pick(self.quantities["lead_thresholds"] + self.more["threshold"])
            value, unit = self._limit(one["quantity"])
            text = one["text"].replace("{lead}", self._pick(LEADS))
            text = text.replace("{limit}", f"{value:g}{unit}")
            return Example(text, kinds.THRESHOLD, (one["quantity"],), side=one["side"], absent=None)
        quantity = self._pick(list(self.quantities["quantities"]))
        value, unit = self._limit(quantity)
        name = self._quantity(quantity)
        if self.rng.random() < 0.15:
            text = self._pick(self.quantities["thresholds"]["between"])
            text = text.replace("{low}", f"{value:g}").replace("{high}", f"{value * 1.3:g}{unit}")
            side = reading.WITHIN
        else:
            text = self._pick(self.quantities["thresholds"][side])
        text = text.replace("{q}", name).replace("{limit}", f"{value:g}{unit}")
        return Example(text, kinds.THRESHOLD, (quantity,), side=side, absent=None)

    def _draw_change(self) -> Example:
        if self.rng.random() < 0.4:
            one = self._pick(self.more["change"])
            text = one["text"].replace("{lead}", self._pick(LEADS))
            return Example(text, kinds.CHANGE, (one["quantity"],), None, one["side"], None)
        side = self._pick([reading.ABOVE, reading.BELOW, reading.WITHIN, ""])
        quantity = self._pick(
            ["heart rate", "rr interval", "p duration", "pr interval", "qrs duration",
             "qt interval", "qt corrected", "qrs axis", "t axis", "r amplitude", "st level"]
        )  # fmt: skip
        text = self._pick(self.changes[side]).replace("{q}", self._quantity(quantity))
        return Example(text, kinds.CHANGE, (quantity,), None, side, None)

    def _draw_list(self) -> Example:
        """An open question in plain words, or a plain yes/no question about two ECGs."""
        if self.rng.random() < 0.15:
            one = self._pick(self.lists["two_yes_no"])
            return Example(one["text"], YES_OR_NO, (one["finding"],), one["fate"], "", None)
        whole = self._pick([name for name in self.lists if name != "two_yes_no"])
        kind, _, more = whole.partition(" ")
        text = self._pick(self.lists[whole]).replace("{lead}", self._pick(LEADS))
        text = text.replace("{noise}", self._pick(list(GROUPS["noise"])))
        if kind == "statements":
            return Example(text, kind, (), more, "", None)
        return Example(text, kind, None if kind == "leads_of_noise" else (), "", more, None)

    def _draw_report(self) -> Example:
        return Example(self._pick(self.kinds["report"]), kinds.REPORT, None, None, None, None)

    def _draw_where(self) -> Example:
        text = self._pick(self.kinds["where"])
        if "{finding}" not in text:
            return Example(text, kinds.WHERE, None, "", "", None)
        some = [
            "myocardial infarction", "inverted t-waves", "non-specific st depression",
            "non-specific st elevation", "q waves present", "ischemia (any place)",
        ]  # fmt: skip
        name = self._pick(some if self.rng.random() < 0.6 else list(self.findings))
        text = text.replace("{finding}", self._phrase(name))
        return Example(text, kinds.WHERE, (name,), "", "", None)

    def _draw_when(self) -> Example:
        text = self._pick(self.kinds["when"])
        name = self._pick(["extrasystoles", "ventricular premature complex", "baseline drift"])
        return Example(
            text.replace("{finding}", self._phrase(name)), kinds.WHEN, None, "", "", None
        )

    def _draw_talk(self) -> Example:
        kind = self._pick([kinds.WHY, kinds.WHY, kinds.HOW_SURE, kinds.SINCE_WHEN])
        text = self._pick(self.kinds[kind])
        if "{" in text:
            text = self._filled(text)[0]
        return Example(text, kind, None, None, None, None)

    def _filled(self, text: str) -> tuple[str, tuple[str, ...]]:
        """Slots filled, and what they were filled with."""
        names: tuple[str, ...] = ()
        if "{finding}" in text:
            name = self._pick(list(self.findings))
            text, names = text.replace("{finding}", self._phrase(name)), (*names, name)
        if "{quantity}" in text:
            name = self._pick(list(self.quantities["quantities"]))
            text, names = text.replace("{quantity}", self._quantity(name)), (*names, name)
        return text.replace("{lead}", self._pick(LEADS)), names

    def _draw_follow_up(self) -> Example:
        text, names = self._filled(self._pick(self.kinds["follow-up"])["text"])
        return Example(text, kinds.FOLLOW_UP, names, None, None, None)

    def _draw_advice(self) -> Example:
        return Example(self._pick(self.kinds["advice"]), kinds.ADVICE, None, None, None, None)

    def _draw_outside(self) -> Example:
        return Example(self._pick(self.outside), kinds.OUTSIDE, None, None, None, None)

    def _draw_untrained(self) -> Example:
        """Whole questions, or a term in a frame of its own or one that takes any finding."""
        which = self.rng.random()
        if which < 0.35:
            text = self._pick(self.rare)
        elif which < 0.65:
            text = self._pick(self.rare_frames)
        else:
            text = self._pick(self.frames["present"]).replace("{x}", "{term}")
        text = text.replace("{term}", self._pick(self.terms))
        return Example(text, kinds.UNTRAINED, None, None, None, None)

    def _draw_several(self) -> Example:
        if self.rng.random() < 0.15:
            # One question with an "and" in it; its kind is not written down, only that it is one.
            return self._draw_finding()
        text = self._pick(self.frames["several"])["text"]
        return Example(text, kinds.SEVERAL, None, None, None, None)

    def _draw_written(self) -> Example:
        """A message as it was written, with all that is asked in it."""
        one = self._pick(self.written["alone"])
        return _as_written(one["text"], one)

    def _draw_pair(self) -> Example:
        """A question behind the one before it: what the second asks in the light of the first."""
        one = self._pick(self.written["pairs"])
        return _as_written(f"{one['before'].rstrip('?. ')}? {one['text']}", one)

    def _draw_denial(self) -> Example:
        text, name = self._pick(self.denials)
        return Example(text, YES_OR_NO, (name,), absent=True)

    def _draw_language(self) -> Example:
        return Example(self._pick(self.languages), kinds.LANGUAGE, None, None, None, None)

    def _as_typed(self, example: Example) -> str:
        """A question as it comes from a keyboard: chatter around it, slips, missing signs."""
        rng, text = self.rng, example.text
        quiet = example.kind in (kinds.LANGUAGE, kinds.SEVERAL, kinds.FOLLOW_UP)
        if not quiet and rng.random() < 0.12:
            text = f"{self._pick(self.frames['contexts'])} {text}"
        if not quiet and rng.random() < 0.08:
            text = f"{text} {self._pick(self.frames['endings'])}"
        if rng.random() < 0.2:
            text = text.rstrip("?.! ")
        if rng.random() < 0.1 and len(text) > 12:
            text = _slip(text, rng)
        return text


# How the written messages call the kinds that the reader has other names for.
WRITTEN_KINDS = {
    "yes_no": YES_OR_NO, "range": YES_OR_NO, "choose": ONE_OF_TWO, "list": "",
    "number": kinds.NUMBER,
    "threshold": kinds.THRESHOLD, "report": kinds.REPORT, "where": kinds.WHERE,
    "when": kinds.WHEN, "why": kinds.WHY, "how sure": kinds.HOW_SURE,
    "since when": kinds.SINCE_WHEN, "advice": kinds.ADVICE, "outside": kinds.OUTSIDE,
    "untrained": kinds.UNTRAINED, "several": kinds.SEVERAL, "follow-up": kinds.FOLLOW_UP,
}  # fmt: skip


def _as_written(text: str, one: dict[str, Any]) -> Example:
    """A written message as an example; what it does not say is not learned from it."""
    kind = WRITTEN_KINDS[one["kind"]] or one["of"]
    named = (one.get("finding"), one.get("quantity"), *one.get("options", ()))
    names = tuple(name for name in named if name) or None
    whole = one["kind"] in ("yes_no", "range", "number", "threshold")
    side = one.get("side", "" if one["kind"] in ("yes_no", "number") else None)
    absent = bool(one.get("absent")) if one["kind"] in ("yes_no", "range") else None
    return Example(text, kind, names, "" if whole else None, side, absent)


def _slip(text: str, rng: random.Random) -> str:
    """Two letters exchanged, one left out or one doubled."""
    places = [i for i in range(1, len(text) - 2) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    return (
        text[:i]
        + rng.choice([text[i + 1] + text[i], text[i], text[i] * 2 + text[i + 1]])
        + text[i + 2 :]
    )


def _read(name: str) -> dict[str, Any]:
    """One file of `training/data/reading/`."""
    return json.loads((FOLDER / f"{name}.json").read_text())
