"""A council session: who sat, what was said, how they voted, what became of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from innercouncil.model.ports import Usage

TallyMethod = Literal["borda", "copeland", "plurality"]
Part = Literal["council", "alone", "samples"]
"""The council itself, or one of the two baselines: the synthesizer alone, and plain samples of the worker model."""
Status = Literal["running", "done", "stopped", "failed"]


class Attachment(msgspec.Struct, frozen=True):
    """A text that goes with the question."""

    name: str
    text: str


class Exchange(msgspec.Struct, frozen=True):
    """An earlier question of the same conversation and the answer it got."""

    question: str
    answer: str


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A seat of the council, as it was when the session began."""

    seat: int
    """0, 1, 2 …"""
    slug: str
    name: str
    description: str = ""
    system: str
    """Empty for a plain sample of the model."""
    temperature: float
    version: int | None = None
    """Id of the persona version in the database."""
    adapter: str | None = None
    """Name of the adapter it answers with; its ballots are the base's."""


class CouncilOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a session; each default is here and nowhere else."""

    rounds: int = 0
    """0: independent answers. 1: each worker sees the others' answers once and may revise its own."""
    baselines: bool = False
    """Also ask the synthesizer alone, and as many plain samples of the worker model with the same synthesis."""
    lite: bool = False
    """The workers' model writes the final answer too, whatever the settings say."""
    tally: TallyMethod = "borda"
    """Used for open questions; closed ones are always decided by plurality."""
    choices: tuple[str, ...] | None = None
    """Choices of a closed question; None: taken from the question if it lists them; empty: treat it as open."""
    tie_band: float = 0.05
    """Scores (0 to 1) this close to the best share the first place."""
    temperature: float = 0.7
    """Of workers whose persona sets none."""
    synthesis_temperature: float = 0.2
    answer_tokens: int = 700
    ballot_tokens: int = 400
    synthesis_tokens: int = 1000
    context_tokens: int = 4096
    """`num_ctx`: prompt and answer of one call; the same for all workers."""
    best: int = 3
    """Answers the synthesizer sees, besides the strongest dissent."""
    seed: int = 0
    own_answers: bool = False
    """An experiment: each voter ranks its own answer too, at a place drawn for the session. The tally leaves it out; ratings
    measure from it how far the judges prefer their own."""
    blind: bool = False
    """The app shows no names, and no list tells who won, until the person has voted."""
    in_turn: bool = False
    """One call at a time, and nothing reused from earlier ones. Servers add up numbers in another order when answers are
    written side by side or begin from a stored prompt, so that only this, with the same seed, gives the same words
    again."""


class Council(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a session starts from."""

    question: str
    workers: tuple[Worker, ...]
    worker_model: str
    synthesizer_model: str
    options: CouncilOptions = CouncilOptions()
    history: tuple[Exchange, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """When a model call ran, in milliseconds since the session began."""

    started: int
    first_token: int | None
    finished: int


AnswerStatus = Literal["ok", "cut", "empty", "refused", "failed", "stopped"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker said in a round. Only `ok` and `cut` (ran into the token limit) go to the vote."""

    part: Part
    seat: int
    round: int
    text: str
    """What came, also where it broke off."""
    status: AnswerStatus
    problem: str = ""
    """One sentence for a person, where status is not ok."""
    timing: Timing
    usage: Usage | None = None
    appeals: tuple[str, ...] = ()
    """Sentences that address the judges; taken out of what the voters see."""

    @property
    def stands(self) -> bool:
        """Whether it can be voted for and used."""
        return self.status in ("ok", "cut")


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker ranked the others' answers."""

    part: Part
    voter: int
    shown: tuple[int, ...]
    """Seats in the order the voter saw them; the first was called A, the second B …"""
    ranking: tuple[int, ...] = ()
    """Seats, best first; those of `shown` that are missing share the last place. Empty: abstained."""
    choice: str | None = None
    """For closed questions: the choice the voter's own answer comes to."""
    reason: str = ""
    abstained: str = ""
    """Why there is no ranking, in one sentence."""
    timing: Timing
    usage: Usage | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer got."""

    seat: int
    score: float
    """0 to 1: mean over the ballots of the share of other answers it was put before (normalised Borda)."""
    ballots: int
    """Ballots it was on."""
    firsts: int
    """Ballots that put it first."""
    spread: float
    """Standard deviation of its places over the ballots, 0 to 0.5: how much the voters disagree about it."""
    place: int
    """1 for the winner; tied answers share a place."""
    choice: str | None = None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of the vote."""

    part: Part
    method: TallyMethod
    standings: tuple[Standing, ...]
    """Best first."""
    winners: tuple[int, ...]
    """Seats within the tie band of the best."""
    dissent: int | None
    """Seat of the strongest answer outside the ones the synthesis is built on, or against the winning choice."""
    best: tuple[int, ...]
    """Seats whose answers the synthesis is built on."""
    choices: dict[str, int] = {}
    """For closed questions: choice -> answers that come to it."""
    abstentions: int = 0
    note: str = ""
    """One sentence where the vote was not an ordinary one."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sentence of the final answer comes from."""

    text: str
    seats: tuple[int, ...]
    """Workers whose answer carries it, strongest first; empty: the synthesis added it."""
    cited: bool
    """Whether the synthesis itself named the answer; otherwise the words were matched."""
    overlap: float
    """Share of the sentence's content words found in the best matching passage, 0 to 1."""


class Synthesis(msgspec.Struct, frozen=True, kw_only=True):
    """The final answer of a part."""

    part: Part
    text: str
    """As the person reads it: citations taken out."""
    status: AnswerStatus
    problem: str = ""
    letters: dict[str, int] = {}
    """Letter the synthesizer knew an answer by -> seat."""
    sources: tuple[Source, ...] = ()
    timing: Timing
    usage: Usage | None = None


class PersonVote(msgspec.Struct, frozen=True, kw_only=True):
    """How the person ranked the workers' answers."""

    tiers: tuple[tuple[int, ...], ...]
    """Seats, best tier first; seats in one tier are tied."""
    blind: bool
    """Whether names were hidden until the vote."""
    made_at: str = ""


class Started(msgspec.Struct, frozen=True, tag="started", tag_field="event"):
    """A session began (or goes on)."""

    session: str
    council: Council


class Phase(msgspec.Struct, frozen=True, tag="phase", tag_field="event"):
    """The next part of the work."""

    part: Part
    name: Literal["answers", "revision", "ballots", "tally", "synthesis"]


class AnswerDelta(msgspec.Struct, frozen=True, tag="answer_delta", tag_field="event"):
    """A piece of a worker's answer."""

    part: Part
    seat: int
    round: int
    text: str


class Answered(msgspec.Struct, frozen=True, tag="answered", tag_field="event"):
    """A worker is done with its answer."""

    answer: Answer


class Voted(msgspec.Struct, frozen=True, tag="voted", tag_field="event"):
    """A ballot is in."""

    ballot: Ballot


class Tallied(msgspec.Struct, frozen=True, tag="tallied", tag_field="event"):
    """The votes are counted."""

    tally: Tally


class SynthesisDelta(msgspec.Struct, frozen=True, tag="synthesis_delta", tag_field="event"):
    """A piece of the final answer."""

    part: Part
    text: str


class Synthesised(msgspec.Struct, frozen=True, tag="synthesised", tag_field="event"):
    """The final answer of a part is there."""

    synthesis: Synthesis


class Finished(msgspec.Struct, frozen=True, tag="finished", tag_field="event"):
    """Nothing more will come."""

    status: Status
    problem: str = ""


Event = (
    Started | Phase | AnswerDelta | Answered | Voted | Tallied | SynthesisDelta | Synthesised | Finished
)  # fmt: skip


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is kept: what it started from and everything that was finished."""

    id: str
    """32 hexadecimal digits."""
    created_at: str
    """UTC, ISO 8601."""
    finished_at: str | None = None
    status: Status
    problem: str = ""
    parent: str | None = None
    """The session this one follows up on."""
    council: Council
    answers: tuple[Answer, ...] = ()
    ballots: tuple[Ballot, ...] = ()
    tallies: tuple[Tally, ...] = ()
    syntheses: tuple[Synthesis, ...] = ()
    votes: tuple[PersonVote, ...] = ()
    """The person's votes, oldest first; the last one counts."""

    @property
    def final(self) -> str:
        """The council's answer, empty while there is none."""
        return next((s.text for s in self.syntheses if s.part == "council"), "")


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list of sessions."""

    id: str
    created_at: str
    status: Status
    question: str
    """Its first 300 characters."""
    workers: int
    winner: str
    """Name of the worker that won, empty where nobody did, and while a blind vote is to be given."""
    voted: bool
    """Whether the person voted."""
    snippet: str = ""
    """Where a search found its words, the words between U+0002 and U+0003."""
