"""From clusters to personas: traits, phrases, exemplars, names, descriptions and prompts, each tied to messages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.discovery.cluster import Modes
from innercouncil.discovery.naming import NameParts, name_personas
from innercouncil.discovery.phrases import FUNCTION_WORDS, Contrast, PhraseCounter, grams_of
from innercouncil.discovery.prompt_writer import Draft, write_prompt
from innercouncil.discovery.redaction import Redactor, given_names
from innercouncil.discovery.traits import Trait, habits, traits_of
from innercouncil.model.labels import LabelledMessage
from innercouncil.model.persona import Claim, Exemplar, LabelLift, Persona, Phrase, PromptLine
from innercouncil.model.slug import slug_of

CENTRAL: Final = 500
"""Messages per persona, nearest to its centre, whose texts are kept for exemplars, phrases' evidence and priorities."""
EXEMPLARS: Final = 8
PHRASES: Final = 18
AMBIGUOUS: Final = 0.1
"""A margin below this counts a message as lying between two personas."""

_SENTENCE_RE: Final = re.compile(r"[^.!?\n]{15,160}[.!?]?")
_SYMBOLS_RE: Final = re.compile(r"[{}\[\]<>=;#\\_|]{2,}|(?:[{}<>=;#\\|][^{}<>=;#\\|]{0,30}){4,}")
"""Unmarked code or markup: no example of a voice."""
_INSISTS_RE: Final = re.compile(
    r"\b(?:must|make sure|always|never|should|don'?t|do not|i want|i need|i prefer|i'd like|instead of|important|at least|at most"
    r"|only|exactly|without|avoid|because)\b",
    re.IGNORECASE,
)


class Inputs(NamedTuple):
    """Row-aligned facts of all n labelled messages."""

    ids: Sequence[str]
    conversations: Sequence[int]
    counts: npt.NDArray[np.float32]
    labels: Mapping[str, Sequence[str]]
    """`topic`, `act` and `tone` -> n labels."""
    languages: Sequence[str]
    """n language codes, "" where unknown."""


class Tally:
    """What one pass over the labelled messages adds up for a persona."""

    def __init__(self) -> None:
        self.months: Counter[str] = Counter()
        self.hours = [0] * 24
        self.words: list[int] = []
        self.voice_chars = 0
        self.pasted_chars = 0
        self.questions = 0

    def add(self, message: LabelledMessage) -> None:
        """Count one message."""
        if message.time is not None:
            when = datetime.fromtimestamp(message.time, UTC)
            self.months[when.strftime("%Y-%m")] += 1
            self.hours[when.hour] += 1
        self.words.append(len(message.voice.split()))
        self.voice_chars += len(message.voice)
        self.pasted_chars += message.pasted_chars
        self.questions += bool(message.question_types)


class Texts(NamedTuple):
    """The texts kept of the central messages, by row."""

    voice: dict[int, str]
    context: dict[int, str]
    reply: dict[int, str]
    time: dict[int, float | None]
    accepted: dict[int, bool]
    """Whether the person went on without correcting the answer."""


def build_personas(
    inputs: Inputs,
    modes: Modes,
    messages: Callable[[], Iterable[LabelledMessage]],
    redactor: Redactor,
    *,
    budget: int,
    given: Sequence[str | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Persona]:
    """Personas of the clusters, in cluster order. `messages()` yields all messages in row order, once per call.

    `given` holds a name for each cluster that has one already.
    """
    k = len(modes.centres)
    central = _central_rows(modes, k)
    phrases, tallies, texts = _one_pass(inputs, modes, messages(), central, k, progress)
    shown = habits(inputs.counts, inputs.labels)
    assigned = modes.labels >= 0
    found = [traits_of(modes.labels == c, assigned, shown, modes.margin) for c in range(k)]
    contrasts = [[p for p in phrases.contrast(c, top=PHRASES * 2) if _is_shareable(p)][:PHRASES] for c in range(k)]
    of = {f: [Counter(np.asarray(v)[modes.labels == c].tolist()) for c in range(k)] for f, v in inputs.labels.items()}
    names = name_personas(
        [
            NameParts(found[c][0], dict(of["act"][c]), dict(of["topic"][c]), _distinctive_words(contrasts[c]))
            for c in range(k)
        ],
        given=given,
    )
    personas = []
    for c in range(k):
        part = _Part(
            c, names[c], inputs, modes, central[c], texts, found[c][0], found[c][1], contrasts[c], tallies[c], redactor
        )
        personas.append(part.persona({f: counters[c] for f, counters in of.items()}, of, budget))
    return personas


def _central_rows(modes: Modes, k: int) -> list[npt.NDArray[np.int_]]:
    out = []
    for c in range(k):
        rows = np.flatnonzero(modes.labels == c)
        out.append(rows[np.lexsort((rows, -modes.margin[rows]))][:CENTRAL])
    return out


def _one_pass(
    inputs: Inputs, modes: Modes, messages: Iterable[LabelledMessage], central: Sequence[npt.NDArray[np.int_]], k: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[PhraseCounter, list[Tally], Texts]:  # fmt: skip
    wanted = {int(r) for rows in central for r in rows}
    texts = Texts({}, {}, {}, {}, {})
    phrases, tallies = PhraseCounter(k), [Tally() for _ in range(k)]
    last_row, last_conversation = -1, -1
    for row, message in enumerate(messages):
        conversation = int(inputs.conversations[row])
        if last_row in wanted and last_conversation == conversation and message.act == "correct":
            texts.accepted[last_row] = False
        last_row, last_conversation = row, conversation
        cluster = int(modes.labels[row])
        if cluster >= 0:
            phrases.add(cluster, conversation, message.voice)
            tallies[cluster].add(message)
        if row in wanted:
            texts.voice[row], texts.context[row] = message.voice, message.context[-400:]
            texts.reply[row], texts.time[row], texts.accepted[row] = message.reply[:400], message.time, True
        if progress and (row % 500 == 0 or row + 1 == len(inputs.ids)):
            progress(row + 1, len(inputs.ids))
    return phrases, tallies, texts


def _is_shareable(phrase: Contrast) -> bool:
    known = given_names()
    return not any(w in known for w in phrase.text.split()) and len(phrase.text) <= 60


def _distinctive_words(contrasts: Sequence[Contrast]) -> list[str]:
    return [c.text for c in contrasts if " " not in c.text and c.text.isalpha() and c.text not in FUNCTION_WORDS]


class _Part:
    """Builds one persona; a class only because its pieces share so many inputs."""

    def __init__(
        self, cluster: int, name: str, inputs: Inputs, modes: Modes, central: npt.NDArray[np.int_], texts: Texts,
        traits: list[Trait], opposites: list[Trait], contrasts: list[Contrast], tally: Tally, redactor: Redactor,
    ) -> None:  # fmt: skip
        self.cluster, self.name, self.inputs, self.modes, self.central = cluster, name, inputs, modes, central
        self.texts, self.traits, self.opposites, self.contrasts = texts, traits, opposites, contrasts
        self.tally, self.redactor = tally, redactor
        self.size = int((modes.labels == cluster).sum())

    def persona(self, mine: dict[str, Counter[str]], everyone: dict[str, list[Counter[str]]], budget: int) -> Persona:
        """The persona with all its parts."""
        exemplars = self._exemplars()
        phrases = self._phrases()
        claims = self._claims(mine)
        stability = self.modes.stability[self.cluster]
        margins = self.modes.margin[self.modes.labels == self.cluster]
        draft = Draft(self.name, self._lines(phrases), self._examples(exemplars))
        total = max(len(self.inputs.ids), 1)
        return Persona(
            slug=slug_of(self.name),
            name=self.name,
            description=self._description(claims, phrases, self.size / total),
            claims=claims,
            size=self.size,
            share=round(self.size / total, 4),
            stability=round(stability, 4),
            verdict=_verdict(stability),
            ambiguous_share=round(float((margins < AMBIGUOUS).mean()) if len(margins) else 0.0, 4),
            labels=tuple(_lifts(mine, everyone, self.cluster)),
            phrases=phrases,
            exemplars=exemplars,
            topics=dict(mine["topic"].most_common()),
            acts=dict(mine["act"].most_common()),
            tones=dict(mine["tone"].most_common()),
            months=dict(sorted(self.tally.months.items())),
            hours=tuple(self.tally.hours),
            median_words=float(np.median(self.tally.words)) if self.tally.words else 0.0,
            question_share=round(self.tally.questions / max(self.size, 1), 4),
            pasted_share=round(self.tally.pasted_chars / max(self.tally.pasted_chars + self.tally.voice_chars, 1), 4),
            prompt=write_prompt(draft, budget=budget),
        )

    def _ids(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.inputs.ids[r] for r in rows)

    def _main_language(self) -> str:
        spoken = Counter(self.inputs.languages[int(r)] for r in self.central)
        del spoken[""]
        return spoken.most_common(1)[0][0] if spoken else ""

    def _exemplars(self) -> tuple[Exemplar, ...]:
        """Central messages of telling length, in the persona's main language, from different conversations, no two alike."""
        chosen: list[Exemplar] = []
        language = self._main_language()
        seen: list[set[str]] = []
        used: set[int] = set()
        for row in self.central:
            r = int(row)
            voice = " ".join(self.texts.voice.get(r, "").split())
            words = set(voice.lower().split())
            if not 6 <= len(voice.split()) <= 60 or self.inputs.conversations[r] in used:
                continue
            if self.inputs.languages[r] not in ("", language) or _SYMBOLS_RE.search(voice):
                continue
            if any(len(words & other) > 0.6 * len(words | other) for other in seen):
                continue
            used.add(self.inputs.conversations[r])
            seen.append(words)
            mid = self.inputs.ids[r]
            chosen.append(
                Exemplar(
                    id=mid,
                    text=self.redactor.redact(voice, mid),
                    context=self.redactor.redact(_gist(self.texts.context[r], 25, tail=True), mid),
                    reply=self.redactor.redact(_gist(self.texts.reply[r], 30), mid) if self.texts.accepted[r] else "",
                    time=self.texts.time[r],
                )
            )
            if len(chosen) == EXEMPLARS:
                break
        return tuple(chosen)

    def _examples(self, exemplars: Sequence[Exemplar]) -> list[Exemplar]:
        short = [e for e in exemplars if len(e.text.split()) <= 35] or list(exemplars)
        return [Exemplar(id=e.id, text=e.text, reply=e.reply, time=e.time) for e in short[:3]]

    def _phrases(self) -> tuple[Phrase, ...]:
        grams = {int(r): grams_of(self.texts.voice.get(int(r), "")) for r in self.central}
        out = []
        for c in self.contrasts:
            rows = [r for r, g in grams.items() if c.text in g][:5]
            out.append(Phrase(text=c.text, count=c.messages, lift=round(c.lift, 2), evidence=self._ids(rows)))
        return tuple(out)

    def _claims(self, mine: dict[str, Counter[str]]) -> tuple[Claim, ...]:
        out = [
            Claim(
                text=t.rule.claim, evidence=self._ids(t.rows), share=round(t.share, 4), elsewhere=round(t.elsewhere, 4)
            )
            for t in self.traits[:10]
        ]
        topic, count = mine["topic"].most_common(1)[0] if mine["topic"] else ("", 0)
        if count >= 0.4 * self.size:
            rows = [int(r) for r in self.central if self.inputs.labels["topic"][int(r)] == topic][:6]
            out.append(
                Claim(
                    text=f"is mostly about {topic.replace('_', ' and ')}",
                    evidence=self._ids(rows),
                    share=round(count / max(self.size, 1), 4),
                )
            )
        return tuple(out)

    def _description(self, claims: Sequence[Claim], phrases: Sequence[Phrase], share: float) -> str:
        told = [f"{c.text} ({_percent(c.share)}{_against(c)})" for c in claims[:4] if c.share is not None]
        about = [
            f"{c.text} ({_percent(c.share)})" for c in claims if c.text.startswith("is mostly") and c not in claims[:4]
        ]
        sentence = f"In {_percent(share)} of your messages: this mode {_listed([*told, *about])}." if told else ""
        said = ", ".join(f"“{p.text}”" for p in phrases[:4])
        return " ".join(filter(None, [sentence, f"It says {said}." if said else ""]))

    def _lines(self, phrases: Sequence[Phrase]) -> list[PromptLine]:
        """Lines in order of importance: work, reasoning, own words, voice, don'ts."""
        titles = {"work": "Do", "reasoning": "Think", "voice": "Sound"}
        lines = []
        for section, limit in (("work", 3), ("reasoning", 5)):
            rules = [t for t in self.traits if t.rule.section == section][:limit]
            lines += [PromptLine(section=titles[section], text=t.rule.line, evidence=self._ids(t.rows)) for t in rules]
        lines += self._priorities()
        rules = [t for t in self.traits if t.rule.section == "voice"][:4]
        lines += [PromptLine(section="Sound", text=t.rule.line, evidence=self._ids(t.rows)) for t in rules]
        if self.tally.words:
            rows = [int(r) for r in self.central[:6]]
            length = f"Messages in this mode run to about {round(float(np.median(self.tally.words)))} words; match that economy."
            lines.append(PromptLine(section="Sound", text=length, evidence=self._ids(rows)))
        spoken = [p for p in phrases if " " in p.text and p.evidence][:5]
        if spoken:
            text = "Turns of phrase: " + ", ".join(f"“{p.text}”" for p in spoken) + "."
            lines.append(PromptLine(section="Sound", text=text, evidence=tuple(p.evidence[0] for p in spoken)))
        words = [p for p in phrases if " " not in p.text and p.evidence][:8]
        if words:
            text = "Vocabulary: " + ", ".join(p.text for p in words) + "."
            lines.append(PromptLine(section="Sound", text=text, evidence=tuple(p.evidence[0] for p in words)))
        for t in self.opposites[:3]:
            lines.append(PromptLine(section="Do not", text=str(t.rule.dont), evidence=self._ids(t.rows)))
        return lines

    def _priorities(self) -> list[PromptLine]:
        """What the person insists on in this mode, in their own words, from different conversations."""
        out: list[PromptLine] = []
        used: set[int] = set()
        seen: list[set[str]] = []
        for row in self.central:
            r = int(row)
            if self.inputs.conversations[r] in used:
                continue
            for match in _SENTENCE_RE.finditer(self.texts.voice.get(r, "")[:1500]):
                sentence = " ".join(match.group().split())
                words = set(sentence.lower().split())
                if not 5 <= len(sentence.split()) <= 22 or not _INSISTS_RE.search(sentence) or ":" in sentence:
                    continue
                if any(len(words & other) > 0.4 * len(words | other) for other in seen):
                    continue
                mid = self.inputs.ids[r]
                text = self.redactor.redact(sentence, mid)
                if text != sentence:
                    continue
                out.append(PromptLine(section="In their own words, they insist", text=f"“{text}”", evidence=(mid,)))
                used.add(self.inputs.conversations[r])
                seen.append(words)
                break
            if len(out) == 3:
                break
        return out


def _gist(text: str, words: int, *, tail: bool = False) -> str:
    """The first (or last) `words` words of prose in `text`, code left out."""
    plain = re.sub(r"```.*?(?:```|\Z)", " ", text, flags=re.DOTALL)
    parts = re.sub(r"[#*_`|>]+", " ", plain).split()
    if len(parts) <= words:
        return " ".join(parts)
    return "… " + " ".join(parts[-words:]) if tail else " ".join(parts[:words]) + " …"


def _verdict(stability: float) -> Literal["highly stable", "stable", "tentative", "unstable"]:
    """Hennig's reading of a clusterwise Jaccard."""
    if stability >= 0.85:
        return "highly stable"
    if stability >= 0.75:
        return "stable"
    return "tentative" if stability >= 0.6 else "unstable"


def _lifts(mine: dict[str, Counter[str]], everyone: dict[str, list[Counter[str]]], cluster: int) -> Iterable[LabelLift]:
    for field in ("act", "topic", "tone"):
        rest: Counter[str] = Counter()
        for c, counter in enumerate(everyone[field]):
            if c != cluster:
                rest += counter
        n, m = sum(mine[field].values()), sum(rest.values())
        for label, count in mine[field].most_common():
            share, other = count / max(n, 1), (rest[label] + 0.5) / (m + 1)
            yield LabelLift(field=field, label=label, share=round(share, 4), lift=round(share / other, 2))


def _percent(share: float | None) -> str:
    return f"{round(100 * (share or 0))}%"


def _against(claim: Claim) -> str:
    return f" against {_percent(claim.elsewhere)} elsewhere" if claim.elsewhere else ""


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""
