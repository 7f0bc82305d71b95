"""`EcgAssistant`: a question and one or two ECGs → an `Answer` that says where it comes from."""

from __future__ import annotations

import math
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ecgqa.answer.answer import Answer, kind_of_answer
from ecgqa.answer.askable import (
    QuestionError,
    asked_of,
    hidden_in,
    hindered,
    of_each,
    one_line,
    unanswerable_of,
    unreadable,
)
from ecgqa.answer.case import Case, in_order
from ecgqa.answer.evidence import Evidence, evidence, evidence_words
from ecgqa.answer.grounding import GroundingResult, ground, ground_reading
from ecgqa.answer.options import Asked, is_list, option_questions, understand, unknown_options
from ecgqa.answer.reply import Reply, replies
from ecgqa.answer.respond import NOTHING_BEFORE, respond
from ecgqa.gallery.gallery import Gallery
from ecgqa.measure.criteria import checks
from ecgqa.model.ecg_model import ABSTENTION, ONE_OF_TWO, SEPARATOR, YES_NO, YES_OR_NO, EcgModel
from ecgqa.model.features import EcgFeatures
from ecgqa.model.language import Progress, quietly
from ecgqa.question import conversation, kinds
from ecgqa.question.comparison import as_change
from ecgqa.question.kinds import kind_of
from ecgqa.question.reading import Reading
from ecgqa.record import ECG

CHECKPOINT = Path(__file__).resolve().parents[2] / "assets" / "checkpoint"
REMEMBERED = 2  # turns that a follow-up may refer to


class EcgAssistant:
    """Answers questions about ECGs. Holds the model and nothing of any patient.

    With two ECGs, `comparison` is the first (earlier) and `ecg` the second (more recent) one, as
    in "which findings are new in the second ECG?".
    """

    def __init__(self, model: EcgModel) -> None:
        self.model = model.eval()
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls,
        checkpoint: Path | str | None = None,
        llm: str | None = None,
        progress: Progress | None = None,
    ) -> EcgAssistant:
        """Load the trained model. Raises `ecgqa.model.language.ModelError` in plain words.

        checkpoint: folder written by training, by default the shipped one. llm: folder or hub id
        of the language model it was trained with, by default found or fetched (see `language`).
        """
        with quietly():
            return cls(EcgModel.load(checkpoint or CHECKPOINT, llm, progress))

    def ask(
        self,
        question: str,
        ecg: ECG,
        comparison: ECG | None = None,
        alone: bool = False,
        before: Sequence[Answer] = (),
    ) -> Answer:
        """The complete answer. Raises QuestionError.

        alone: the question is about `ecg` alone even if it sounds like a comparison, which is
        otherwise refused without a comparison ECG. before: the answers before it about the same
        ECGs, oldest first, to which a follow-up ("and in V2?", "why?") may refer.
        """
        *_, last = self.stream_answer(question, ecg, comparison, alone, before)
        return last

    def talk(
        self,
        questions: Sequence[str],
        ecg: ECG,
        comparison: ECG | None = None,
        alone: bool = False,
    ) -> list[Answer]:
        """Answers to questions one after another, each after those before it. Errors: see `ask`."""
        answers: list[Answer] = []
        for question in questions:
            answers.append(self.ask(question, ecg, comparison, alone, answers))
        return answers

    def stream_answer(
        self,
        question: str,
        ecg: ECG,
        comparison: ECG | None = None,
        alone: bool = False,
        before: Sequence[Answer] = (),
    ) -> Iterator[Answer]:
        """Answers that grow; the last one is complete. Arguments and errors: see `ask`.

        An unreadable recording is declined without asking the model; so is a question that the
        leads or the seconds recorded cannot answer.
        """
        question = asked_of(question, comparison, alone)
        started = time.perf_counter()
        ecgs = in_order(ecg, comparison)
        names = tuple(one.title for one in ecgs)
        blank = Answer("", (), 0.0, self._name(), kinds.GREEDY, 0.0, names, question=question)
        if self.model.reader is not None:
            with self._one_turn():
                for answer in self._answered(blank, ecg, comparison, before):
                    yield replace(answer, seconds=time.perf_counter() - started)
            return
        with self._one_turn():
            case = Case(self.model, ecg, comparison)
            asked, why_not = self._understood(question, case)
            if why_not:
                yield self._declined(replace(blank, remarks=why_not), started)
                return
            blank = replace(blank, remarks=hidden_in(case))
            if is_list(self.model, asked):
                blank = replace(blank, decoding=kinds.LISTED)
            reply = Reply("", 0.0)
            for reply in replies(self.model, question, asked, *case.features, case.missing_leads):
                yield replace(blank, text=reply.text, seconds=time.perf_counter() - started)
        if reply.text == ABSTENTION:
            yield self._declined(blank, started)
            return
        found = tuple(
            dict.fromkeys(
                part.strip() for part in reply.text.split(SEPARATOR.strip()) if part.strip()
            )
        )
        yield replace(
            blank,
            text=SEPARATOR.join(found),
            answers=found,
            confidence=reply.confidence,
            seconds=time.perf_counter() - started,
        )

    def read(self, question: str, two: bool = False) -> Reading:
        """What a question by itself asks of one ECG (or, two, of a pair). Raises QuestionError."""
        if self.model.reader is None:
            raise QuestionError("This checkpoint has no reader of questions.")
        return conversation.understand(self.model.reader, one_line(question), two)

    def _read(self, question: str, comparison: ECG | None, before: Sequence[Answer]) -> Reading:
        """What a question asks after the answers before it."""
        assert self.model.reader is not None
        known = [a.reading for a in before[-REMEMBERED:] if a.reading is not None]
        read = conversation.understand(self.model.reader, question, comparison is not None, known)
        if comparison is not None and kind_of(read.kind).of_an_ecg:
            # What must have become of something is read by the model itself: 91 % of 320 wordings
            # right, the reader 57 (`wordings_dev.json`).
            (asked,) = understand(self.model, [question], True)
            read = replace(read, fate=asked.fate)
        return read if comparison is None else as_change(read)

    def _answered(
        self, blank: Answer, ecg: ECG, comparison: ECG | None, before: Sequence[Answer]
    ) -> Iterator[Answer]:
        """Answers that grow to a question that the reader reads."""
        read = self._read(blank.question, comparison, before)
        blank = replace(blank, reading=read, decoding=_decoding(read))
        case = Case(self.model, ecg, comparison)
        if kind_of(read.kind).of_an_ecg:
            if why_not := hindered(case, read):
                yield replace(blank, text=ABSTENTION, answers=(ABSTENTION,), declined=True,
                              remarks=why_not)  # fmt: skip
                return
            blank = replace(blank, remarks=hidden_in(case))
        if read.kind in (kinds.WHY, kinds.HOW_SURE):
            yield self._about_the_last(blank, read.kind, ecg, comparison, before)
            return
        for reply in respond(case, read):
            if reply.text == ABSTENTION:
                yield replace(blank, text=ABSTENTION, answers=(ABSTENTION,), declined=True)
                return
            answers = reply.answers
            if answers is None:
                answers = tuple(dict.fromkeys(reply.text.split(SEPARATOR)))
            answer = replace(
                blank,
                text=reply.text,
                answers=answers,
                confidence=reply.confidence,
                declined=reply.declined,
                remarks=(*blank.remarks, *reply.remarks),
                asked=reply.asked,
                affirms=reply.affirms,
            )
            yield replace(answer, confidence=_calibrated(self.model, answer))

    def _about_the_last(
        self,
        blank: Answer,
        kind: str,
        ecg: ECG,
        comparison: ECG | None,
        before: Sequence[Answer],
    ) -> Answer:
        """Why the last answer was given, or how sure it is."""
        last = next((a for a in reversed(before) if not kind_of(a.kind).of_the_talk), None)
        if last is None:
            return replace(blank, text=NOTHING_BEFORE, declined=True)
        told = f"“{textwrap.shorten(last.text, 120, placeholder=' …')}”"
        if last.declined:
            text = f"The last answer ({told}) was none: {' '.join(last.remarks) or 'see above'}"
            return replace(blank, text=text, declined=True)
        if kind == kinds.HOW_SURE:
            text = (
                f"{last.confidence:.0%} for {told}. Of answers with such a confidence about that "
                "share is right on ECGs like those it was fitted on; the button below shows "
                "whether it depends on this ECG."
            )
            return replace(blank, text=text, confidence=last.confidence)
        found = evidence_of(self.model, last, ecg, comparison)
        numbers = checks(found.findings, Case(self.model, ecg, comparison).measured[-1])
        reasons = [evidence_words(found, last.ecg_names)] if found.leads else []
        reasons += [one.words + "." for one in numbers]
        if kind_of(last.kind).measured or (last.reading and last.reading.quantities):
            reasons.append(f"It was measured by the algorithm, not by the model: {last.text}.")
        reasons += last.remarks
        text = " ".join(reasons) or "It rests on the ECG as a whole; no lead stands out."
        return replace(blank, text=f"{told}: {text}", confidence=last.confidence)

    def score(
        self,
        question: str,
        options: Sequence[str],
        ecg: ECG,
        comparison: ECG | None = None,
        alone: bool = False,
    ) -> dict[str, float]:
        """{option: probability that it is (part of) the right answer}; options are independent.

        "yes" and "no" are weighed against each other; any other option is put to the model as a
        yes/no question of its own, so the probabilities need not sum to one. alone: see `ask`.
        Raises QuestionError for an option that the model was never taught, and where `ask` declines
        to answer from these recordings.
        """
        question = asked_of(question, comparison, alone)
        if not set(options) <= set(YES_NO) and (unknown := unknown_options(self.model, options)):
            raise QuestionError(" ".join(unknown))
        with self._one_turn():
            case = self._answerable(question, ecg, comparison)
            first, second = case.features
            return score_options(self.model, question, options, first, second)

    def evidence(
        self, question: str, answer: Answer, ecg: ECG, comparison: ECG | None = None
    ) -> Evidence:
        """The leads and seconds that `answer` to `question` rests on.

        Empty where the answer names nothing, as in "cannot tell". Raises QuestionError.
        """
        question = one_line(question)
        with self._one_turn():
            return evidence_of(self.model, replace(answer, question=question), ecg, comparison)

    def random_ecg_test(
        self,
        question: str,
        ecg: ECG,
        comparison: ECG | None = None,
        others: Iterable[tuple[str, ECG]] | None = None,
        progress: Progress | None = None,
        alone: bool = False,
        before: Sequence[Answer] = (),
    ) -> GroundingResult:
        """The same question on three other patients, noise, a flat line and no ECG.

        others: (name, ECG) of the other patients; by default three from the bundled gallery, the
        same ones every time. alone: see `ask`. Raises QuestionError, also where `ask` declines to
        answer from these recordings: there is no answer to put to the test.
        """
        question = asked_of(question, comparison, alone)
        if others is None:
            others = Gallery().three_others(ecg, comparison)
        if self.model.reader is not None:
            with self._one_turn():
                read = self._read(question, comparison, before)
                if why_not := self._no_test(read, Case(self.model, ecg, comparison)):
                    raise QuestionError(f"The model gives no answer to this. {why_not}")
                return ground_reading(self.model, read, ecg, comparison, others, progress)
        with self._one_turn():
            self._answerable(question, ecg, comparison)
            return ground(self.model, question, ecg, comparison, others, progress)

    def _no_test(self, read: Reading, case: Case) -> str:
        """Why there is no answer to put to the test, "" where there is one."""
        if not kind_of(read.kind).of_an_ecg:
            return "What is said to such a question does not rest on an ECG: nothing to test."
        if kind_of(read.kind).of_the_talk:
            return "It is about the answer before it: please test that question."
        return " ".join(hindered(case, read))

    def _understood(self, question: str, case: Case) -> tuple[Asked, tuple[str, ...]]:
        """What is asked, and why these recordings do not allow an answer (nothing: they do)."""
        if why_not := of_each(case, unreadable):
            return Asked(), why_not
        (asked,) = understand(self.model, [question], case.is_pair)
        return asked, unanswerable_of(case, asked)

    def _answerable(self, question: str, ecg: ECG, comparison: ECG | None) -> Case:
        """The case. Raises QuestionError with the reason where `ask` declines to answer."""
        case = Case(self.model, ecg, comparison)
        if why_not := self._understood(question, case)[1]:
            raise QuestionError(f"The model gives no answer to this. {' '.join(why_not)}")
        return case

    @contextmanager
    def _one_turn(self) -> Iterator[None]:
        """One question at a time has the model, which reads each of its texts once."""
        with self._turn, self.model.language.reading_once():
            yield

    def _name(self) -> str:
        return f"ecgqa {self.model.version} + {self.model.language.name}"

    def _declined(self, blank: Answer, started: float) -> Answer:
        return replace(
            blank,
            text=ABSTENTION,
            answers=(ABSTENTION,),
            declined=True,
            seconds=time.perf_counter() - started,
        )


def _decoding(read: Reading) -> str:
    """How an answer to such a question comes about."""
    if read.kind == YES_OR_NO and read.quantities:
        return kinds.MEASURED
    return kind_of(read.kind).decoding


def _calibrated(model: EcgModel, answer: Answer) -> float:
    """The share of answers of this kind and confidence that are right.

    Fitted by `training.stages.fit_confidence`. Unchanged where nothing was fitted, and for what is
    declined.
    """
    known = model.config.confidence
    fitted = known.get(kind_of_answer(answer)) or known.get("other")
    if fitted is None or answer.declined or not answer.confidence:
        return answer.confidence
    raw = min(max(answer.confidence, 0.02), 0.98)
    odds = math.log(raw / (1 - raw))
    return 1 / (1 + math.exp(-(fitted[0] * odds + fitted[1])))


def evidence_of(model: EcgModel, answer: Answer, ecg: ECG, comparison: ECG | None) -> Evidence:
    """What an answer rests on, in the wording that was put to the model."""
    if answer.reading is None:
        return evidence(model, answer.question, answer.answers, ecg, comparison)
    if answer.asked:
        said = "yes" if answer.affirms else "no"
        found = evidence(model, answer.asked, (said,), ecg, comparison)
        names = answer.reading.findings[:1] if comparison is None else ()
        return replace(found, findings=tuple((name, answer.affirms) for name in names))
    listed = answer.kind in model.config.vocabulary or answer.kind == ONE_OF_TWO
    if answer.declined or not listed or kind_of(answer.kind).measured:
        return Evidence()
    return evidence(model, answer.question, answer.answers, ecg, comparison)


def score_options(
    model: EcgModel,
    question: str,
    options: Sequence[str],
    first: EcgFeatures | None,
    second: EcgFeatures | None = None,
) -> dict[str, float]:
    """See `EcgAssistant.score`; first and second are features of one ECG each (or None)."""
    if set(options) <= set(YES_NO):
        yes = float(model.yes_probability([question], first, second)[0])
        return {option: yes if option == "yes" else 1 - yes for option in options}
    (asked,) = understand(model, [question], second is not None)
    texts = option_questions(model, asked, options)
    each = [float(model.yes_probability([text], first, second, "option")[0]) for text in texts]
    return dict(zip(options, each, strict=True))
