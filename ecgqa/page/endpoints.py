"""`/read`, `/measure`, `/ask`, `/random_ecg_test`: files in, JSON out, no session involved."""

import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr
from gradio.events import api as add_endpoint

from ecgqa import INTENDED_USE
from ecgqa.answer.askable import QuestionError
from ecgqa.answer.evidence import evidence_words, numbers_beside
from ecgqa.gallery.gallery import Gallery
from ecgqa.measure import measure
from ecgqa.measure.numbers import as_json
from ecgqa.measure.quality import assess
from ecgqa.page.site import Site
from ecgqa.page.spoken import in_plain_words
from ecgqa.page.uploads import read_request, read_whole
from ecgqa.page.wiring import FREE, MODEL_QUEUE


class Endpoints:
    """What each endpoint does. The arguments and first lines are shown to its callers."""

    def __init__(self, site: Site, gallery: Gallery) -> None:
        self.loader, self.gallery, self.caps = site.loader, gallery, site.caps

    def read(
        self,
        files: list[gr.FileData],
        rate_hz: float | None = None,
        units: str | None = None,
        leads: str | None = None,
    ) -> dict[str, Any]:
        """Read an ECG: its name, rate, length, missing leads, checksum, notes and quality."""
        (ecg,) = read_whole([files], rate_hz, units, leads)
        quality = assess(ecg)
        return {
            "name": ecg.name, "rate_hz": ecg.rate_hz, "seconds": ecg.seconds,
            "missing_leads": list(ecg.missing_leads), "sha256": ecg.sha256,
            "notes": list(ecg.notes),
            "quality": {
                "readable": quality.readable, "acceptable": quality.acceptable,
                "lost": list(quality.lost), "reasons": list(quality.reasons),
                "leads": {lead: list(faults) for lead, faults in quality.leads.items()},
                "limb_residual_mv": quality.limb_residual_mv,
            },
        }  # fmt: skip

    def measure(
        self,
        files: list[gr.FileData],
        comparison_files: list[gr.FileData] | None = None,
        rate_hz: float | None = None,
        units: str | None = None,
        start_s: float = 0.0,
        leads: str | None = None,
    ) -> dict[str, Any]:
        """Measure one ECG or two: rates, intervals, axes; null where not measurable."""
        ecg, other = read_request(files, comparison_files, rate_hz, units, start_s, leads)
        found = {"ecg": as_json(measure(ecg))}
        return found if other is None else {**found, "comparison": as_json(measure(other))}

    def ask(
        self,
        files: list[gr.FileData],
        question: str,
        comparison_files: list[gr.FileData] | None = None,
        rate_hz: float | None = None,
        units: str | None = None,
        start_s: float = 0.0,
        before: list[str] | None = None,
        leads: str | None = None,
    ) -> dict[str, Any]:
        """Ask a question about one ECG or two, and what the answer rests on.

        before: questions asked before it, oldest first. Of the result: understood (the question as
        it was read), evidence (marks and leads, by ECG: 0 is the first) and criteria (measured
        numbers for or against the answer).
        """
        ecg, other = read_request(files, comparison_files, rate_hz, units, start_s, leads)
        is_list = before is None or isinstance(before, list)
        if not is_list or not all(isinstance(text, str) for text in before or []):
            raise QuestionError("Please give `before` as a list of questions.")
        if len(before or []) > self.caps.texts:
            raise QuestionError(f"`before` may hold up to {self.caps.texts} questions.")
        asked = [*(before or [])[-2:], question]
        assistant = self.loader.assistant()
        answer = assistant.talk(asked, ecg, other)[-1]
        found = assistant.evidence(question, answer, ecg, other)
        return {
            **answer.as_json(), "intended_use": INTENDED_USE,
            "evidence": {
                "words": evidence_words(found, answer.ecg_names),
                "marks": [asdict(mark) for mark in found.marks],
                "leads": [
                    {"ecg": which, "lead": lead, "share": share}
                    for which, lead, share in found.leads
                ],
            },
            "criteria": [asdict(one) for one in numbers_beside(found, ecg)],
        }  # fmt: skip

    def random_ecg_test(
        self,
        files: list[gr.FileData],
        question: str,
        comparison_files: list[gr.FileData] | None = None,
        rate_hz: float | None = None,
        units: str | None = None,
        start_s: float = 0.0,
        leads: str | None = None,
    ) -> dict[str, Any]:
        """Ask the same question with other ECGs: does the answer depend on this one?"""
        ecg, other = read_request(files, comparison_files, rate_hz, units, start_s, leads)
        result = self.loader.assistant().random_ecg_test(
            question, ecg, comparison=other, others=self.gallery.three_others(ecg, other)
        )
        rows = [
            {
                "ecg": row.ecg, "answer": row.answer, "log_prob_change": row.log_prob_change,
                "log_odds_change": row.log_odds_change,
            }
            for row in result.rows
        ]  # fmt: skip
        return {
            "rows": rows, "verdict": result.verdict, "depends": result.depends,
            "least_move": result.least_move,
        }  # fmt: skip


def capped(site: Site, endpoint: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """The endpoint, closed when the server is stopped, and given up after so many seconds."""

    @functools.wraps(endpoint)
    def in_time(*args: Any, **kwargs: Any) -> Any:
        site.check_open()
        return site.workbench.within(seconds, endpoint, *args, **kwargs)

    return in_time


def add_endpoints(site: Site, gallery: Gallery) -> None:
    """Add the four to the page that is being built."""
    here, caps = Endpoints(site, gallery), site.caps
    for endpoint, seconds, limits in (
        (here.read, caps.read_s, FREE),
        (here.measure, caps.read_s, FREE),
        (here.ask, caps.answer_s, MODEL_QUEUE),
        (here.random_ecg_test, caps.answer_s, MODEL_QUEUE),
    ):
        spoken = in_plain_words(capped(site, endpoint, seconds), on_page=False)
        add_endpoint(spoken, api_name=endpoint.__name__, **limits)
