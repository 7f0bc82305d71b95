"""`Desk`: what lies before one session, and every step by which it changes. Knows no screen.

An answer belongs to the ECGs it is about, by their SHA-256: only what is about ECGs that are on the
page now is shown or printed, whatever else the session has asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from ecgqa.answer.answer import Answer
from ecgqa.page.export import Said
from ecgqa.record import ECG

if TYPE_CHECKING:
    from ecgqa.page.trend import Point

NO_COMPARISON = "None"


class Drawn(NamedTuple):
    """A drawing by its id, the ten seconds of both ECGs that are measured and asked about (`seen`),
    and the whole recordings that they are of.
    """

    drawing: str = ""
    seen: tuple[ECG | None, ...] = (None, None)
    ecgs: tuple[ECG | None, ...] = (None, None)


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
    not be read for a place, as it was called. picked: by which name of the gallery a place is or
    is being filled, "" where by no such name. turns: for each place, the recording that was asked
    for last, as (the place it was asked for, its number). drawn: what the paper shows of them.
    kept: the recordings whose seconds and marks outlast the next drawing. beats: the id of the
    median beats on the page; by_hand: for each place, where the marks on them were moved to, s.
    waiting: the question that is answered next or now; answering: the one whose answer has begun
    and is not complete. given_up: the last one, if it was stopped.
    to_prove: the one that is put to the test.
    answered: all that was answered, about whichever ECG. trend: recordings that the user says are
    of one patient, in their order.
    """

    def __init__(self) -> None:
        self.asked_for = self.trend_turn = 0
        self.clear()

    def clear(self) -> None:
        """Forget all of it, what is being read too."""
        self.turns = [(place, self._next()) for place in (0, 1)]
        self.picked = ["", NO_COMPARISON]
        self.ecgs: list[ECG | None] = [None, None]
        self.pending: list[list[tuple[str, bytes]] | None] = [None, None]
        self.refused = ["", ""]
        self.drawn = Drawn()
        self.kept: tuple[ECG | None, ...] = (None, None)
        self.forget_marks()
        self.waiting: Waiting | None = None
        self.answering: Waiting | None = None
        self.given_up: Waiting | None = None
        self.to_prove: Waiting | None = None
        self.answered: list[Turn] = []
        self.forget_trend()

    # Choosing -----------------------------------------------------------------------------------

    def _next(self) -> int:
        self.asked_for += 1
        return self.asked_for

    def turn(self, place: int, picked: str = "") -> int:
        """The number of a recording that begins to be read; the newest one gets the place.

        picked: its name in the gallery, if it comes from there.
        """
        self.turns[place], self.picked[place] = (place, self._next()), picked
        return self.turns[place][1]

    def goes_to(self, place: int, turn: int) -> int | None:
        """Where a recording goes that was asked for this place: with it, if that was exchanged.

        None: a newer one was asked for meanwhile.
        """
        return self.turns.index((place, turn)) if (place, turn) in self.turns else None

    def settle(self, place: int, turn: int, ecg: ECG | None) -> bool:
        """Give a recording its place (see `goes_to`), if it is still wanted."""
        here = self.goes_to(place, turn)
        if here is None:
            return False
        ecg = ecg and ecg.anonymous()  # what names a patient is nowhere shown, and not kept
        self.ecgs[here], self.pending[here], self.refused[here] = ecg, None, ""
        return True

    def wait_for_facts(self, place: int, turn: int, files: list[tuple[str, bytes]]) -> bool:
        """Keep files that do not say their rate or unit; the place is empty until they do."""
        here = self.goes_to(place, turn)
        if here is None:
            return False
        self.settle(place, turn, None)
        self.pending[here] = files
        return True

    def refuse(self, place: int, turn: int, name: str) -> bool:
        """Empty a place for which something came that cannot be read.

        What lay there before would be taken for it. False: a newer one was asked for meanwhile.
        """
        here = self.goes_to(place, turn)
        if here is None:
            return False
        self.settle(place, turn, None)
        self.refused[here], self.picked[here] = name, ""
        return True

    def swap(self) -> None:
        """Exchange the two places: what lies there, what is on its way, and what was done to it.

        The seconds that are looked at and the marks that were moved go with their recording.
        """
        for both in (self.turns, self.picked, self.ecgs, self.pending, self.refused, self.by_hand):
            both.reverse()
        # The paper and the beats on the page are from before: what they tell is of other places.
        self.drawn = Drawn("", self.drawn.seen[::-1], self.drawn.ecgs[::-1])
        self.beats = ""
        self.kept = self.drawn.ecgs

    # Looking ------------------------------------------------------------------------------------

    def draw(self, drawing: str) -> tuple[ECG | None, ...]:
        """Begin a drawing of both recordings; returns them.

        They are shown from their beginning, after an exchange from where they were.
        """
        ecgs = tuple(self.ecgs)
        stays = [ecg is not None and ecg is kept for ecg, kept in zip(ecgs, self.kept, strict=True)]
        seen = zip(ecgs, self.drawn.seen, stays, strict=True)
        self.drawn = Drawn(
            drawing,
            tuple(was if stay else ecg and ecg.stretch(0) for ecg, was, stay in seen),
            ecgs,
        )
        self.kept, self.beats = (None, None), ""
        self.by_hand = [
            marks if stay else {} for marks, stay in zip(self.by_hand, stays, strict=True)
        ]
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
        if [one and one.start_s for one in seen] != [
            one and one.start_s for one in self.drawn.seen
        ]:
            self.forget_marks()
        self.drawn = self.drawn._replace(seen=seen)
        return True

    def forget_marks(self) -> None:
        """What was moved by hand belongs to the beats that were on the page."""
        self.beats = ""
        self.by_hand: list[dict[str, float]] = [{}, {}]

    def move_marks(self, beats: str, by_hand: Sequence[dict[str, float]]) -> bool:
        """Take the marks of both places as they were moved; False: of other beats than these."""
        if not beats or beats != self.beats:
            return False
        self.by_hand = list(by_hand)
        return True

    # Asking -------------------------------------------------------------------------------------

    def on_page(self, about: Sequence[str]) -> bool:
        """Whether all these ECGs (see `identity`) lie before the session now.

        Two must lie there in their order: what is new in the second is not new in the first.
        """
        there = [ecg and identity(ecg) for ecg in self.ecgs[::-1]]  # the earlier one first
        return list(about) == there if len(about) == 2 else set(about) <= set(there)

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

    def add_test(self, waiting: Waiting, words: str) -> None:
        """Print what the dependence test said under the answer that was put to it."""
        about = tuple(identity(ecg) for ecg in waiting.ecgs)
        for i, turn in reversed(list(enumerate(self.answered))):
            if (turn.question, turn.about) == (waiting.text, about):
                self.answered[i] = replace(turn, said=replace(turn.said, test=words))
                return

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

    def forget_trend(self) -> None:
        """Forget the trend, and what is being read for it."""
        self.trend: list[Point] = []
        self.trend_told = 0.0
        self.trend_turn += 1

    def forget_answers(self) -> None:
        """Forget everything that was answered."""
        self.answered, self.given_up = [], None
