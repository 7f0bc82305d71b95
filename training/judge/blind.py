"""What the wording alone gives away: an answerer that is trained on text and never sees an ECG.

One linear classifier per kind of question on words and pairs of words (TF-IDF): yes or no; first,
second, both or none of two options; one of the sets of answers that lists have in training. And,
without any words, the commonest answer to each template.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from ecgqa.answer.options import NONE
from training.data import questions
from training.data.debias import Sampler, regenerate
from training.data.questions import TEMPLATES, Facts, Question
from training.data.wordings import load_synonyms, load_wordings, word

PER_TEMPLATE = 300


def train_questions(facts: Facts, rows: np.ndarray, ecgqa: str, seed: int = 5) -> list[Question]:
    """Questions about the train ECGs by ECG-QA's rules, in train wordings."""
    words = load_wordings("train", ecgqa)
    synonyms = load_synonyms()

    def worder(key: questions.Key, rng: random.Random) -> str:
        return word(key, words, rng, synonyms)

    return regenerate(Sampler(facts, rows, worder, "erm", seed=seed), PER_TEMPLATE)


def answers(train: list[Question], asked: list[Question]) -> list[tuple[tuple[str, ...], float]]:
    """(answer, P(yes) or NaN) of each question, from its words alone."""
    out: list[tuple[tuple[str, ...], float]] = [((), np.nan)] * len(asked)
    for kind in ("verify", "choose", "query"):
        fit = [q for q in train if TEMPLATES[q.template_id].kind == kind]
        members = [k for k, q in enumerate(asked) if TEMPLATES[q.template_id].kind == kind]
        if not members or not fit:
            continue
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2),
            SGDClassifier(loss="log_loss", alpha=1e-5, random_state=0),
        )
        model.fit([q.question for q in fit], [_label(q) for q in fit])
        texts = [asked[k].question for k in members]
        chance = model.predict_proba(texts) if kind == "verify" else None
        yes = list(model.classes_).index("yes") if kind == "verify" else 0
        for i, (k, label) in enumerate(zip(members, model.predict(texts), strict=True)):
            p = float(chance[i, yes]) if chance is not None else np.nan
            out[k] = (_answer(asked[k], str(label)), p)
    return out


def commonest(train: list[Question], asked: list[Question]) -> list[tuple[tuple[str, ...], float]]:
    """(the commonest answer that training questions of its template have, how often "yes") each."""
    labels: dict[int, Counter[str]] = defaultdict(Counter)
    for question in train:
        labels[question.template_id][_label(question)] += 1
    out: list[tuple[tuple[str, ...], float]] = []
    for question in asked:
        found = labels[question.template_id]
        answer = _answer(question, found.most_common(1)[0][0]) if found else ()
        out.append((answer, found["yes"] / max(1, found.total())))
    return out


def _label(question: Question) -> str:
    if TEMPLATES[question.template_id].kind != "choose":
        return "; ".join(sorted(question.answer))
    return " ".join(str(int(option in question.answer)) for option in question.valid_answers)


def _answer(question: Question, label: str) -> tuple[str, ...]:
    if TEMPLATES[question.template_id].kind != "choose":
        return tuple(label.split("; "))
    flags = zip(question.valid_answers, label.split(), strict=True)
    return tuple(option for option, flag in flags if flag == "1") or (NONE,)
