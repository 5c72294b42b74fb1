"""A finished session in which every text is an attack: for pages and for terminals."""

from __future__ import annotations

import msgspec

import voted_sessions
from innercouncil.council.counting import count
from innercouncil.model.council import (
    Answer,
    Answered,
    Attachment,
    Ballot,
    Council,
    Finished,
    Source,
    Synthesis,
    Synthesised,
    Tallied,
    Voted,
    Worker,
)
from innercouncil.store.sessions import SessionStore


def hostile_session(store: SessionStore, names: tuple[str, ...], says: str, long: str) -> str:
    """Keep the session: `names` are its three personas', `long` what they answer, `says` stands everywhere else."""
    now = voted_sessions.NOW
    workers = tuple(
        Worker(seat=n, slug=f"s{n}", name=names[n], description=says, system=says, temperature=0.7) for n in range(3)
    )
    council = Council(
        question=says, workers=workers, worker_model=says, synthesizer_model=says,
        attachments=(Attachment(name=names[0], text=says),),
    )  # fmt: skip
    session = store.begin(council)
    answers, ballots = [], []
    for n in range(3):
        answer = Answer(
            part="council", seat=n, round=0, text=long, status="cut", problem=says, timing=now, appeals=(says,)
        )
        answers.append(answer)
        store.record(session, Answered(answer))
        others = tuple(s for s in range(3) if s != n)
        abstained = says if n == 2 else ""
        ballot = Ballot(
            part="council", voter=n, shown=others, ranking=() if abstained else others, reason=says, abstained=abstained,
            choice=says, timing=now,
        )  # fmt: skip
        ballots.append(ballot)
        store.record(session, Voted(ballot))
    tally = count("council", answers, ballots, council.options)
    store.record(session, Tallied(msgspec.structs.replace(tally, note=says)))
    for part in ("council", "alone", "samples"):
        sources = (
            Source(text=says, seats=(0,), cited=True, overlap=1.0),
            Source(text=says, seats=(), cited=False, overlap=0.0),
        )
        synthesis = Synthesis(part=part, text=long, status="ok", problem=says, timing=now, sources=sources)
        store.record(session, Synthesised(synthesis))
    store.record(session, Finished("failed", says))
    return session
