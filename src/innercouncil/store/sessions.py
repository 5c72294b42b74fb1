"""Council sessions in council.db: every finished piece is there the moment it is finished."""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from innercouncil.model.council import (
    Answer,
    Answered,
    Ballot,
    Council,
    Event,
    Finished,
    Part,
    PersonVote,
    SessionRecord,
    SessionSummary,
    Status,
    Synthesis,
    Synthesised,
    Tallied,
    Tally,
    Voted,
)
from innercouncil.model.errors import ImportFormatError, SessionNotFoundError, UsageError
from innercouncil.store.database import Database

QUESTION_CHARS: Final = 300
_FORMAT: Final = "innercouncil-session/1"
_BODIES: Final = ("answer", "ballot", "tally", "synthesis")
T = TypeVar("T")


class Page(NamedTuple):
    """A page of the list of sessions."""

    sessions: list[SessionSummary]
    next: str | None
    """What to give as `before` for the next page, None at the end."""
    total: int


class SessionStore:
    """The sessions of a workspace."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, council: Council, parent: str | None = None, *, owner: str = "") -> str:
        """Write down a session that begins; returns its id. `owner` names the process that holds it."""
        session = secrets.token_hex(16)
        record = SessionRecord(id=session, created_at=_now(), status="running", parent=parent, council=council)
        with self._db.transaction() as db:
            _insert(db, record)
            db.execute("UPDATE session SET owner = ? WHERE id = ?", (owner, session))
        return session

    def record(self, session: str, event: Event) -> None:
        """Keep what an event finished; pieces of answers are not kept."""
        with self._db.transaction() as db:
            number = _number(db, session)
            match event:
                case Answered(answer):
                    _put_answer(db, number, answer)
                case Voted(ballot):
                    _put_ballot(db, number, ballot)
                case Tallied(tally):
                    _put_tally(db, number, tally)
                case Synthesised(synthesis):
                    _put_synthesis(db, number, synthesis)
                case Finished(status, problem):
                    finished = _now() if status != "running" else None
                    db.execute(
                        "UPDATE session SET status = ?, problem = ?, finished_at = ? WHERE number = ?",
                        (status, problem, finished, number),
                    )
                case _:
                    return
            if isinstance(event, Finished | Synthesised):
                _index(db, number)

    def reopen(
        self, session: str, *, without_seat: int | None = None, owner: str = "",
        alive: Callable[[str], bool] = lambda _owner: False,
    ) -> SessionRecord:  # fmt: skip
        """Mark a session as running again, held by `owner`, and take out what is to be made anew; returns the rest.

        Of a part without a usable final answer these are the answers that failed or came empty, and the votes on the rest.
        With `without_seat` they are that worker's answers and all that came of them, the person's judgements too.

        Raises SessionNotFoundError, UsageError where it runs in another process: `alive` says whether an owner still is.
        """
        with self._db.transaction() as db:
            number = _number(db, session)
            status, holder = db.execute("SELECT status, owner FROM session WHERE number = ?", (number,)).fetchone()
            if status == "running" and alive(holder):
                raise UsageError("The session runs in another innercouncil process; wait for it, or stop it there.")
            db.execute(
                "UPDATE session SET status = 'running', problem = '', finished_at = NULL, owner = ? WHERE number = ?",
                (owner, number),
            )
            db.execute("DELETE FROM answer WHERE session = ? AND status = 'stopped'", (number,))
            # A final answer that failed is worth another try.
            db.execute(
                "DELETE FROM synthesis WHERE session = ? AND body ->> '$.status' NOT IN ('ok', 'cut')", (number,)
            )
            if without_seat is None:
                _forget_failed(db, number)
            else:
                _forget_seat(db, number, without_seat)
        return self.get(session)

    def get(self, session: str) -> SessionRecord:
        """The session. Raises SessionNotFoundError."""
        with self._db.reading() as db:
            row = db.execute(
                "SELECT number, id, created_at, finished_at, status, problem, parent, council FROM session WHERE id = ?",
                (session,),
            ).fetchone()
            if row is None:
                raise SessionNotFoundError(
                    f"There is no session {session[:40]!r}; `innercouncil sessions list` shows all."
                )
            number = row[0]
            votes = db.execute(
                "SELECT tiers, blind, made_at FROM person_vote WHERE session = ? ORDER BY id", (number,)
            ).fetchall()
            return SessionRecord(
                id=row[1], created_at=row[2], finished_at=row[3], status=row[4], problem=row[5], parent=row[6],
                council=msgspec.json.decode(row[7], type=Council),
                answers=_bodies(db, "answer", number, Answer, "round, seat"),
                ballots=_bodies(db, "ballot", number, Ballot, "voter"),
                tallies=_bodies(db, "tally", number, Tally, "part"),
                syntheses=_bodies(db, "synthesis", number, Synthesis, "part"),
                votes=tuple(PersonVote(tiers=_tiers(t), blind=bool(b), made_at=at) for t, b, at in votes),
            )  # fmt: skip

    def find(self, text: str) -> str:
        """The id that begins with `text` (6 digits or more), or the newest for `last`. Raises SessionNotFoundError."""
        with self._db.reading() as db:
            if text == "last":
                rows = db.execute("SELECT id FROM session ORDER BY number DESC LIMIT 1").fetchall()
            elif re.fullmatch(r"[0-9a-f]{6,32}", text):
                rows = db.execute("SELECT id FROM session WHERE id GLOB ? LIMIT 2", (text + "*",)).fetchall()
            else:
                rows = []
        if len(rows) == 1:
            return str(rows[0][0])
        why = "More than one session begins with" if rows else "There is no session"
        raise SessionNotFoundError(f"{why} {text[:40]!r}; `innercouncil sessions list` shows all.")

    def vote(self, session: str, tiers: Sequence[Sequence[int]], *, blind: bool) -> PersonVote:
        """Keep how the person ranked the answers. Raises SessionNotFoundError."""
        vote = PersonVote(tiers=tuple(tuple(t) for t in tiers), blind=blind, made_at=_now())
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO person_vote (session, made_at, blind, tiers) VALUES (?, ?, ?, ?)",
                (_number(db, session), vote.made_at, int(blind), msgspec.json.encode(vote.tiers).decode()),
            )
        return vote

    def page(self, *, query: str = "", before: str | None = None, limit: int = 30) -> Page:
        """Sessions, newest first; with `query` those whose question, answers or final answer hold all its words."""
        limit = max(1, min(limit, 200))
        match = fts_query(query)
        if query.strip() and not match:
            return Page([], None, 0)
        end = _end(before)
        # The page is cut first, newest down; what a row shows is looked up for its rows only.
        chosen = (
            "SELECT rowid AS number, snippet(session_text, -1, char(2), char(3), ' … ', 16) AS snippet FROM session_text "
            "WHERE session_text MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
            if match
            else "SELECT number, '' AS snippet FROM session WHERE number < ? ORDER BY number DESC LIMIT ?"
        )
        values = (*([match] if match else []), end, limit + 1)
        with self._db.reading() as db:
            rows = db.execute(_summaries(chosen), values).fetchall()
            counting = (
                "SELECT count(*) FROM session_text WHERE session_text MATCH ?"
                if match
                else "SELECT count(*) FROM session"
            )
            total = int(db.execute(counting, (match,) if match else ()).fetchone()[0])
        return _page(rows, limit, total)

    def among(self, sessions: Collection[str], *, before: str | None = None, limit: int = 30) -> Page:
        """Those of these sessions that are there, newest first."""
        limit = max(1, min(limit, 200))
        ids = msgspec.json.encode(list(sessions)).decode()
        chosen = "SELECT number, '' AS snippet FROM session WHERE id IN (SELECT value FROM json_each(?))"
        with self._db.reading() as db:
            total = int(db.execute(f"SELECT count(*) FROM ({chosen})", (ids,)).fetchone()[0])  # noqa: S608
            rows = db.execute(
                _summaries(chosen + " AND number < ? ORDER BY number DESC LIMIT ?"), (ids, _end(before), limit + 1)
            ).fetchall()
        return _page(rows, limit, total)

    def running(self) -> list[tuple[str, str]]:
        """(id, owner) of sessions that are marked as running: under way, or cut off by a kill."""
        with self._db.reading() as db:
            return [
                (r[0], r[1])
                for r in db.execute("SELECT id, owner FROM session WHERE status = 'running' ORDER BY number")
            ]

    def followups(self, session: str) -> list[str]:
        """Sessions that follow up on this one, or on one that does: each holds its question and final answer too."""
        with self._db.reading() as db:
            return _followups(db, session)

    def delete(self, session: str) -> None:
        """Delete a session and its follow-ups for real: their bytes are overwritten in the file.

        Raises SessionNotFoundError, and WorkspaceError as `Database.deletion` does.
        """
        with self._db.deletion() as db:
            for each in (session, *_followups(db, session)):
                number = _number(db, each)
                db.execute("DELETE FROM session_text WHERE rowid = ?", (number,))
                db.execute("DELETE FROM session WHERE number = ?", (number,))
            # The index only marks its words as deleted; merging its parts leaves them out.
            db.execute("INSERT INTO session_text (session_text) VALUES ('optimize')")

    def export(self, session: str) -> bytes:
        """The session as JSON, to be read by `import_session`."""
        data = {"format": _FORMAT, "session": msgspec.to_builtins(self.get(session))}
        return msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n"

    def import_session(self, data: bytes) -> str:
        """Keep an exported session, under its own id where that is free. Raises ImportFormatError."""
        try:
            parsed = msgspec.json.decode(data, type=_Exported)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ImportFormatError(
                f"This is not an exported session ({error}); export one with Export or `sessions export`."
            ) from None
        if parsed.format != _FORMAT:
            raise ImportFormatError(
                f"This file has the format {parsed.format[:40]!r}, not {_FORMAT}; update innercouncil."
            )
        record = parsed.session
        problem = _unsound(record)
        if problem:
            raise ImportFormatError(f"The exported session is damaged: {problem}.")
        with self._db.transaction() as db:
            taken = db.execute("SELECT 1 FROM session WHERE id = ?", (record.id,)).fetchone()
            parent = db.execute("SELECT id FROM session WHERE id = ?", (record.parent,)).fetchone()
            record = msgspec.structs.replace(
                record, id=secrets.token_hex(16) if taken else record.id, parent=record.parent if parent else None,
                status="stopped" if record.status == "running" else record.status,
            )  # fmt: skip
            _insert(db, record)
        return record.id


def _end(before: str | None) -> int:
    """The number under which a page begins."""
    return (1 << 62) if before is None else int(before) if before.isdecimal() and len(before) < 18 else 0


def _summaries(chosen: str) -> str:
    """The query for what a list shows of the chosen (number, snippet)."""
    voted = "EXISTS (SELECT 1 FROM person_vote v WHERE v.session = s.number)"
    return (
        f"SELECT s.number, s.id, s.created_at, s.status, substr(s.question, 1, {QUESTION_CHARS}), "  # noqa: S608
        f"CASE WHEN iif(json_valid(s.council), s.council ->> '$.options.blind', 0) AND NOT {voted} THEN '' ELSE s.winner END, "
        f"(SELECT count(*) FROM worker w WHERE w.session = s.number), {voted}, "
        f"chosen.snippet FROM ({chosen}) chosen JOIN session s ON s.number = chosen.number ORDER BY s.number DESC"
    )


def _page(rows: Sequence[tuple[Any, ...]], limit: int, total: int) -> Page:
    """A page out of one row more than it holds."""
    page = [
        SessionSummary(
            id=r[1], created_at=r[2], status=r[3], question=r[4], winner=r[5], workers=r[6], voted=bool(r[7]), snippet=r[8],
        )
        for r in rows[:limit]
    ]  # fmt: skip
    return Page(page, str(rows[limit - 1][0]) if len(rows) > limit else None, total)


class _Exported(msgspec.Struct):
    format: str
    session: SessionRecord


def fts_query(text: str) -> str:
    """What a person typed as an FTS5 query: all words, the last one as a beginning; operators mean nothing."""
    words = re.findall(r"[^\W_]+", text)[:20]
    return " ".join(f'"{w}"' for w in words) + "*" if words else ""


def _insert(db: sqlite3.Connection, record: SessionRecord) -> None:
    council = record.council
    number = db.execute(
        "INSERT INTO session (id, created_at, finished_at, status, problem, parent, question, worker_model, "
        "synthesizer_model, council) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.id, record.created_at, record.finished_at, record.status, record.problem, record.parent,
            council.question, council.worker_model, council.synthesizer_model, _text(council),
        ),
    ).lastrowid  # fmt: skip
    assert number is not None
    for worker in council.workers:
        version = db.execute("SELECT id FROM persona_version WHERE id = ?", (worker.version,)).fetchone()
        db.execute(
            "INSERT INTO worker (session, seat, slug, version) VALUES (?, ?, ?, ?)",
            (number, worker.seat, worker.slug, version[0] if version else None),
        )
    for answer in record.answers:
        _put_answer(db, number, answer)
    for ballot in record.ballots:
        _put_ballot(db, number, ballot)
    for tally in record.tallies:
        _put_tally(db, number, tally)
    for synthesis in record.syntheses:
        _put_synthesis(db, number, synthesis)
    for vote in record.votes:
        db.execute(
            "INSERT INTO person_vote (session, made_at, blind, tiers) VALUES (?, ?, ?, ?)",
            (number, vote.made_at, int(vote.blind), msgspec.json.encode(vote.tiers).decode()),
        )
    _index(db, number)


def _put_answer(db: sqlite3.Connection, number: int, a: Answer) -> None:
    db.execute(
        "INSERT OR REPLACE INTO answer (session, part, seat, round, status, body) VALUES (?, ?, ?, ?, ?, ?)",
        (number, a.part, a.seat, a.round, a.status, _text(a)),
    )


def _put_ballot(db: sqlite3.Connection, number: int, b: Ballot) -> None:
    db.execute(
        "INSERT OR REPLACE INTO ballot (session, part, voter, body) VALUES (?, ?, ?, ?)",
        (number, b.part, b.voter, _text(b)),
    )


def _put_tally(db: sqlite3.Connection, number: int, t: Tally) -> None:
    db.execute("INSERT OR REPLACE INTO tally (session, part, body) VALUES (?, ?, ?)", (number, t.part, _text(t)))
    if t.part == "council":
        council = msgspec.json.decode(
            db.execute("SELECT council FROM session WHERE number = ?", (number,)).fetchone()[0], type=Council
        )
        names = {w.seat: w.name for w in council.workers}
        winner = " = ".join(names.get(s, "?") for s in t.winners) if len(t.winners) < len(names) else ""
        db.execute("UPDATE session SET winner = ? WHERE number = ?", (winner, number))


def _forget_failed(db: sqlite3.Connection, number: int) -> None:
    """Take out the answers that failed or came empty in parts that have no final answer, and what came of the others."""
    failed = db.execute(
        "DELETE FROM answer WHERE session = ? AND status IN ('failed', 'empty') AND part NOT IN "
        "(SELECT part FROM synthesis WHERE session = answer.session) RETURNING part",
        (number,),
    ).fetchall()
    for part in {row[0] for row in failed}:
        _forget_outcome(db, number, part)


def _forget_seat(db: sqlite3.Connection, number: int, seat: int) -> None:
    """Take out a worker's answers, and what models and the person made of them."""
    db.execute("DELETE FROM answer WHERE session = ? AND part = 'council' AND (seat = ? OR round > 0)", (number, seat))
    _forget_outcome(db, number, "council")
    for table in ("person_vote", "worth_vote"):
        db.execute(f"DELETE FROM {table} WHERE session = ?", (number,))  # noqa: S608


def _forget_outcome(db: sqlite3.Connection, number: int, part: Part) -> None:
    """Take out what came of a part's answers."""
    for table in ("ballot", "tally", "synthesis"):
        db.execute(f"DELETE FROM {table} WHERE session = ? AND part = ?", (number, part))  # noqa: S608
    if part == "council":
        db.execute("UPDATE session SET winner = '' WHERE number = ?", (number,))


def _put_synthesis(db: sqlite3.Connection, number: int, s: Synthesis) -> None:
    db.execute("INSERT OR REPLACE INTO synthesis (session, part, body) VALUES (?, ?, ?)", (number, s.part, _text(s)))


def _index(db: sqlite3.Connection, number: int) -> None:
    """Write the session's words into the full-text index."""
    question = db.execute("SELECT question FROM session WHERE number = ?", (number,)).fetchone()[0]
    answers = _bodies(db, "answer", number, Answer, "round, seat")
    final = _bodies(db, "synthesis", number, Synthesis, "part")
    db.execute("DELETE FROM session_text WHERE rowid = ?", (number,))
    db.execute(
        "INSERT INTO session_text (rowid, question, answers, final) VALUES (?, ?, ?, ?)",
        (number, question, "\n".join(a.text for a in answers), "\n".join(s.text for s in final)),
    )


def _bodies(db: sqlite3.Connection, table: str, number: int, type_: type[T], order: str) -> tuple[T, ...]:
    assert table in _BODIES
    rows = db.execute(f"SELECT body FROM {table} WHERE session = ? ORDER BY {order}", (number,))  # noqa: S608
    return tuple(msgspec.json.decode(r[0], type=type_) for r in rows)


def _followups(db: sqlite3.Connection, session: str) -> list[str]:
    rows = db.execute(
        "WITH RECURSIVE after (id) AS (SELECT id FROM session WHERE parent = ? UNION "
        "SELECT s.id FROM session s JOIN after ON s.parent = after.id) SELECT id FROM after",
        (session,),
    )
    return [row[0] for row in rows]


def _number(db: sqlite3.Connection, session: str) -> int:
    row = db.execute("SELECT number FROM session WHERE id = ?", (session,)).fetchone()
    if row is None:
        raise SessionNotFoundError(f"There is no session {session[:40]!r}; `innercouncil sessions list` shows all.")
    return int(row[0])


def _unsound(record: SessionRecord) -> str:
    """What in an imported record does not hang together, in words."""
    seats = {w.seat for w in record.council.workers}
    statuses: set[Status] = {"running", "done", "stopped", "failed"}
    parts: set[Part] = {"council", "alone", "samples"}
    if not re.fullmatch(r"[0-9a-f]{32}", record.id):
        return "its id is not 32 hexadecimal digits"
    if record.status not in statuses or len(seats) != len(record.council.workers):
        return "its workers have no seats of their own"
    if any(a.seat not in seats or a.part not in parts for a in record.answers):
        return "an answer is of nobody who sat in it"
    if any(b.voter not in seats or not seats.issuperset((*b.shown, *b.ranking)) for b in record.ballots):
        return "a ballot names nobody who sat in it"
    if any(not seats.issuperset(s.seat for s in t.standings) for t in record.tallies):
        return "a tally names nobody who sat in it"
    return ""


def _tiers(text: str) -> tuple[tuple[int, ...], ...]:
    return msgspec.json.decode(text, type=tuple[tuple[int, ...], ...])


def _text(struct: Any) -> str:
    return msgspec.json.encode(struct).decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
