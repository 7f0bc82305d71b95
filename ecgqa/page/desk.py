"""`Desk`: what lies before one session, and every step by which it changes. Knows no screen.

An answer belongs to the ECGs it is about, by their SHA-256: only what is about ECGs that are on the
page now is shown or printed, whatever else the session has asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ecgqa.answer.answer import Answer
from ecgqa.page.export import Said
from ecgqa.record import ECG


class Drawn(NamedTuple):
    """A drawing by its id, and the ten seconds of both ECGs that are measured and asked about."""

    drawing: str = ""
    seen: tuple[ECG | None, ...] = (None, None)


class Waiting(NamedTuple):
    """A question and the ECGs it is about; `other`, if any, is the earlier one."""

    text: str
    ecg: ECG
    other: ECG | None

    @property
    def ecgs(self) -> tuple[ECG, ...]:
        """All it is about, the earlier one first."""
        return (self.ecg,) if self.other is None else (self.other, self.ecg)


@dataclass(frozen=True)
class Turn:
    """A question that was answered.

    about: `identity` of each ECG it is about, the earlier first; names: what they are called.
    shown: the answer as the page shows it. said: the same for the printed page. answer: itself.
    """

    question: str
    about: tuple[str, ...]
    names: tuple[str, ...]
    shown: str
    said: Said
    answer: Answer | None = None


def identity(ecg: ECG) -> str:
    """What tells one recording from all others, whatever they are called."""
    return ecg.sha256 or f"name:{ecg.name}"


class Desk:
    """What lies before one session: place 0 is this ECG, place 1 the comparison.

    Several events may be under way at once. They share this object and change it in place, each
    only what is its own, so that none puts back what another has just replaced.

    ecgs: the whole recordings. pending: files that wait for their rate or unit. refused: what could
    not be read for a place, as it was called. turns: how many recordings were asked for. drawn:
    what the paper shows of them. waiting: the question that is answered next or now; answering: the
    one whose answer has begun and is not complete. given_up: the last one, if it was stopped.
    to_prove: the one that is put to the test.
    asked: the last one. answered: all that was answered, about whichever ECG.
    """

    def __init__(self) -> None:
        self.turns = [0, 0]
        self.clear()

    def clear(self) -> None:
        """Forget all of it, what is being read too."""
        self.turns = [turn + 1 for turn in self.turns]
        self.ecgs: list[ECG | None] = [None, None]
        self.pending: list[list[tuple[str, bytes]] | None] = [None, None]
        self.refused = ["", ""]
        self.drawn = Drawn()
        self.waiting: Waiting | None = None
        self.answering: Waiting | None = None
        self.given_up: Waiting | None = None
        self.to_prove: Waiting | None = None
        self.asked = ""
        self.answered: list[Turn] = []

    # Choosing -----------------------------------------------------------------------------------

    def turn(self, place: int) -> int:
        """The number of a recording that begins to be read; the newest one gets the place."""
        self.turns[place] += 1
        return self.turns[place]

    def settle(self, place: int, turn: int, ecg: ECG | None) -> bool:
        """Give a recording its place, unless a newer one was asked for meanwhile (False)."""
        if self.turns[place] != turn:
            return False
        self.ecgs[place], self.pending[place], self.refused[place] = ecg, None, ""
        return True

    def wait_for_facts(self, place: int, turn: int, files: list[tuple[str, bytes]]) -> bool:
        """Keep files that do not say their rate or unit; the place is empty until they do."""
        if not self.settle(place, turn, None):
            return False
        self.pending[place] = files
        return True

    def refuse(self, place: int, turn: int, name: str) -> bool:
        """Empty a place for which something came that cannot be read.

        What lay there before would be taken for it. False: a newer one was asked for meanwhile.
        """
        if not self.settle(place, turn, None):
            return False
        self.refused[place] = name
        return True

    # Looking ------------------------------------------------------------------------------------

    def draw(self, drawing: str) -> tuple[ECG | None, ...]:
        """Begin a drawing of both recordings from their beginning; returns the recordings."""
        ecgs = tuple(self.ecgs)
        self.drawn = Drawn(drawing, tuple(ecg.stretch(0) if ecg else None for ecg in ecgs))
        return ecgs

    def walk(self, to: dict | None) -> bool:
        """Take the ten seconds at which the paper's sliders stand.

        to: the drawing on the paper, and where each ECG of it begins ("start_s"). Returns False
        where another drawing is on its way to the page.
        """
        if to is None or to["drawing"] != self.drawn.drawing:
            return False
        starts = zip(self.ecgs, to["start_s"], strict=True)
        seen = tuple(ecg.stretch(float(start_s)) if ecg else None for ecg, start_s in starts)
        self.drawn = Drawn(self.drawn.drawing, seen)
        return True

    # Asking -------------------------------------------------------------------------------------

    def on_page(self, about: Sequence[str]) -> bool:
        """Whether all these ECGs (see `identity`) lie before the session now."""
        return set(about) <= {identity(ecg) for ecg in self.ecgs if ecg}

    def shows(self, waiting: Waiting) -> bool:
        """Whether a question is about ECGs that are still here."""
        return self.on_page([identity(ecg) for ecg in waiting.ecgs])

    def before(self, waiting: Waiting) -> list[Answer]:
        """What was answered before about the very same ECGs, oldest first."""
        about = tuple(identity(ecg) for ecg in waiting.ecgs)
        return [turn.answer for turn in self.answered if turn.answer and turn.about == about]

    def put(self, question: Waiting) -> None:
        """Let a question wait for its turn."""
        self.waiting, self.given_up = question, None

    def add(
        self,
        waiting: Waiting,
        shown: str,
        said: Said,
        answer: Answer | None = None,
        instead: Turn | None = None,
    ) -> Turn:
        """Keep an answer; instead: of this one, which was not yet complete."""
        about = tuple(identity(ecg) for ecg in waiting.ecgs)
        names = tuple(ecg.name for ecg in waiting.ecgs)
        turn = Turn(waiting.text, about, names, shown, said, answer)
        # The answers may have been thrown away while the fuller one was made.
        self.answering = None
        if instead is None:
            self.answered.append(turn)
        else:
            self.answered = [turn if one is instead else one for one in self.answered]
        return turn

    @property
    def shown(self) -> list[Turn]:
        """What was answered about the ECGs on the page, and about nothing else."""
        return [turn for turn in self.answered if self.on_page(turn.about)]

    @property
    def folded(self) -> list[Turn]:
        """What was answered about ECGs that are not on the page."""
        return [turn for turn in self.answered if not self.on_page(turn.about)]

    def stop(self) -> Waiting | None:
        """Give up what waits for an answer; returns the question, if there was one."""
        given_up = self.waiting or self.answering
        self.waiting = self.answering = self.to_prove = None
        self.given_up = given_up or self.given_up
        return given_up

    def done(self, waiting: Waiting) -> None:
        """A question has had its turn, however it ended; a later one keeps waiting."""
        if self.waiting is waiting:
            self.waiting = None
        if self.answering is waiting:
            self.answering = None
        if self.to_prove is waiting:
            self.to_prove = None

    def forget_answers(self) -> None:
        """Forget everything that was answered."""
        self.answered, self.asked, self.given_up = [], "", None
