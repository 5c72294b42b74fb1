"""Finished sessions with baselines, written into council.db as the house writes them."""

from __future__ import annotations

from innercouncil.model.council import Answer, Answered, Council, Finished, Part, Synthesis, Synthesised, Timing
from innercouncil.model.ports import Usage
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore


def hold(
    database: Database, question: str = "What now?", *, parts: tuple[Part, ...] = ("council", "alone", "samples")
) -> str:
    """A finished session with final answers of these parts."""
    store = SessionStore(database)
    session = store.begin(Council(question=question, workers=(), worker_model="m", synthesizer_model="s"))
    at = 0
    for part in parts:
        seconds = {"council": 8000, "alone": 2000, "samples": 5000}[part]
        if part != "alone":
            timing = Timing(started=at, first_token=at + 1, finished=at + seconds // 2)
            store.record(
                session,
                Answered(
                    Answer(part=part, seat=0, round=0, text="x", status="ok", timing=timing, usage=Usage(100, 50))
                ),
            )
        timing = Timing(started=at + (seconds // 2 if part != "alone" else 0), first_token=None, finished=at + seconds)
        store.record(
            session,
            Synthesised(
                Synthesis(
                    part=part,
                    text=f"The {part} speaks of {question}",
                    status="ok",
                    timing=timing,
                    usage=Usage(200, 100),
                )
            ),
        )
        at += seconds
    store.record(session, Finished("done"))
    return session
