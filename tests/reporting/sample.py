"""A realistic discovery, and one made of hostile strings."""

from __future__ import annotations

import math
import random

import msgspec

from innercouncil.model.conversation import ImportReport
from innercouncil.model.persona import (
    CandidateK,
    Claim,
    ClusterAnalysis,
    Discovery,
    Exemplar,
    LabelLift,
    MapPoint,
    Persona,
    Phrase,
    PromptLine,
    RedactionReport,
    SystemPrompt,
)

HOSTILE = (
    "</script><script>alert(1)</script>",
    "{{7*7}}{% raw %}",
    '" onmouseover="alert(1)" x=\'',
    "<img src=https://evil.example/x.png onerror=alert(1)>",
    "\u202eשלום עולם\u202c",
    "👩‍💻🧵",
    "\x1b[31mred\x1b[0m\x07\x08",
    "\x1b]0;title\x07\x9b31m",
    "a\u2028b\u2029c",
    "<!--<script>",
    "[bold red]markup[/] [/nonsense]",
    "javascript:alert(1)",
)
NASTY = " ".join(HOSTILE)

_MODES = (
    ("Software Builder", "software", "build", "debug", "commanding", (9, 10, 11, 14, 15, 16, 17, 21)),
    ("Story Writer", "creative", "write", "edit", "warm", (20, 21, 22, 23, 0)),
    ("Science Solver", "math_science", "solve", "learn", "neutral", (8, 9, 13, 14, 18)),
    ("Courteous Business Explorer", "business", "shape", "write", "polite", (9, 10, 11, 12, 13)),
    ("Skeptical Questioner of Society", "society", "learn", "correct", "critical", (6, 7, 19, 20)),
    ("Household Planner", "daily_life", "brief", "shape", "neutral", (12, 17, 18)),
)
_TEXTS = (
    "that allocates on every append. use a preallocated array and an index, and tell me first what it costs today",
    "Write the scene again, but she must not say what she feels; let the weather do it.",
    "ok, und warum genau ist das so? Please prove it without induction.",
    "Could you please make the offer shorter? They have four minutes and have read three of these today.",
    "extend it to humidity, same format with H=",
    "I do not buy the second argument: what would have to be true for the opposite to hold?\n\n" + "Go on. " * 120,
)


def make_report() -> ImportReport:
    return ImportReport(
        format="chatgpt",
        source_name="chatgpt-export.zip",
        bytes=48_231_882,
        conversations=812,
        messages=9_406,
        user_messages=4_213,
        user_chars=1_204_881,
        skipped={
            "hidden message": 41,
            "step of the assistant (code, tool, thought)": 1_208,
            "message without text": 19,
        },
        warnings=["2 conversations carry no dates; they are left out of the months."],
        instructions=["Answer in short sentences."],
    )


def make_discovery(personas: int = 4, points: int = 3_000, months: int = 30, *, times: bool = True) -> Discovery:
    rng = random.Random(7)
    names = [f"{_MODES[i % 6][0]}{'' if i < 6 else ' ' + str(i)}" for i in range(personas)]
    slugs = [n.lower().replace(" ", "-") for n in names]
    sizes = [round(4_000 / (i + 1.6)) for i in range(personas)]
    built = [_persona(i, names[i], slugs[i], sizes, rng, months if times else 0) for i in range(personas)]
    return Discovery(
        personas=tuple(built),
        analysis=_analysis(slugs, built),
        map=tuple(_points(slugs, points, rng)),
        redaction=RedactionReport(
            counts={"email": 31, "phone": 4, "secret": 2},
            places=(("m-1", "email", 30), ("m-2", "email", 1), ("m-2", "phone", 4), ("m-9", "secret", 2)),
        ),
        topic_by_persona={
            s: {_MODES[j][1]: rng.randrange(20, 90) if j != i % 6 else 900 for j in range(6)}
            for i, s in enumerate(slugs)
        },
        transitions={s: {t: 600 if s == t else rng.randrange(10, 120) for t in slugs} for s in slugs},
    )


def make_hostile() -> Discovery:
    """A discovery in which every text, label, id and key is hostile."""

    def poison(value: object) -> object:
        if isinstance(value, str):
            return NASTY
        if isinstance(value, list):
            return [poison(v) for v in value]
        if isinstance(value, dict):
            return {k: poison(v) for k, v in value.items()}
        return value

    found = make_discovery(3, 60)
    data = msgspec.json.decode(msgspec.json.encode(found))
    for i, p in enumerate(data["personas"]):
        slug = f"{NASTY}{i}"
        for field in ("topics", "acts", "tones"):
            p[field] = {NASTY: 12}
        kept = {"verdict": p["verdict"], "months": p["months"], "slug": slug}
        labels = [{**poison(x), "field": x["field"]} for x in p["labels"]]
        data["personas"][i] = {**poison(p), **kept, "labels": labels}
    data["analysis"] |= {"verdict": NASTY, "unassigned": {NASTY: 3}, "leak": {NASTY: 0.4}, "stability": {NASTY: 0.8}}
    data["analysis"]["settings"] = {NASTY: NASTY}
    data["map"] = [[NASTY, x, y, f"{NASTY}{n % 3}"] for n, (_, x, y, _) in enumerate(data["map"])]
    data["redaction"] = {"counts": {NASTY: 2}, "places": [[NASTY, NASTY, 2]]}
    data["topic_by_persona"] = {f"{NASTY}{i}": {NASTY: 5} for i in range(3)}
    data["transitions"] = {f"{NASTY}{i}": {f"{NASTY}0": 5} for i in range(3)}
    return msgspec.convert(data, Discovery)


def make_hostile_report() -> ImportReport:
    return ImportReport(
        format=NASTY, source_name=NASTY, conversations=3, messages=9, user_messages=4, user_chars=80,
        skipped={NASTY: 2}, warnings=[NASTY], instructions=[NASTY],
    )  # fmt: skip


def _persona(i: int, name: str, slug: str, sizes: list[int], rng: random.Random, months: int) -> Persona:
    _, topic, act, other_act, tone, hours = _MODES[i % 6]
    stability = (0.93, 0.81, 0.66, 0.52, 0.88, 0.79)[i % 6]
    ids = [f"{rng.getrandbits(128):032x}" for _ in range(14)]
    exemplars = tuple(
        Exemplar(
            id=ids[n], text=_TEXTS[(n + i) % 6], context="Here is a first version. Shall I go on?" if n % 2 else "",
            reply="Yes: the array is allocated once, and the index moves." if n else "", time=1.7e9 + 86_400 * 9 * n,
        )
        for n in range(6)
    )  # fmt: skip
    claims = tuple(
        Claim(text=text, evidence=tuple(ids[n : n + 6]), share=share, elsewhere=elsewhere)
        for n, (text, share, elsewhere) in enumerate(
            (("writes in lower case", 0.87, 0.21), ("has working things made", 0.31, 0.04),
             ("names what must not happen before saying what should", 0.26, 0.11), (f"is mostly about {topic.replace('_', ' and ')}", 0.82, None))
        )
    )  # fmt: skip
    return Persona(
        slug=slug,
        name=name,
        description=f"In {round(100 * sizes[i] / sum(sizes))}% of your messages: this mode writes in lower case (87% against 21% elsewhere), "
        f"has working things made (31%) and is mostly about {topic.replace('_', ' and ')} (82%). It says “add”, “fails”, “test”.",
        claims=claims,
        size=sizes[i],
        share=sizes[i] / sum(sizes),
        stability=stability,
        verdict="highly stable"
        if stability >= 0.85
        else "stable"
        if stability >= 0.75
        else "tentative"
        if stability >= 0.6
        else "unstable",
        ambiguous_share=(0.04, 0.12, 0.23, 0.31)[i % 4],
        labels=(
            LabelLift(field="act", label=act, share=0.48, lift=3.1),
            LabelLift(field="act", label=other_act, share=0.26, lift=1.8),
            LabelLift(field="act", label="feedback", share=0.11, lift=0.7),
            LabelLift(field="topic", label=topic, share=0.82, lift=9.4),
            LabelLift(field="topic", label="daily_life", share=0.07, lift=0.5),
            LabelLift(field="tone", label=tone, share=0.61, lift=2.2),
            LabelLift(field="tone", label="neutral" if tone != "neutral" else "warm", share=0.3, lift=0.6),
        ),
        phrases=tuple(
            Phrase(text=t, count=40 - 4 * n, lift=17.3 / (n + 1) + 1, evidence=tuple(ids[n : n + 3]))
            for n, t in enumerate(
                (
                    "the cause",
                    "without changing",
                    "same format",
                    "fails",
                    "und warum",
                    "what would have to be true",
                    "at most four",
                )
            )
        ),
        exemplars=exemplars,
        topics={topic: round(0.82 * sizes[i]), "daily_life": round(0.07 * sizes[i])},
        acts={act: round(0.48 * sizes[i]), other_act: round(0.26 * sizes[i])},
        tones={tone: round(0.61 * sizes[i])},
        months={
            f"{2023 + m // 12}-{m % 12 + 1:02d}": max(0, round(30 + 26 * math.sin(m / 3 + i) + rng.gauss(0, 6)))
            for m in range(months)
            if m % 11 != 4
        },
        hours=tuple((rng.randrange(30, 60) if h in hours else rng.randrange(6)) if months else 0 for h in range(24)),
        median_words=12.5 + 9 * i,
        question_share=0.31,
        pasted_share=0.14,
        prompt=_prompt(name, ids),
    )


def _prompt(name: str, ids: list[str]) -> SystemPrompt:
    lines = (
        PromptLine(section="Do", text="Deliver something complete that runs or can be used as it is, not a sketch.", evidence=tuple(ids[:6])),
        PromptLine(section="Do", text="Find the cause from the symptoms first; then give the smallest change that fixes it.", evidence=tuple(ids[2:7])),
        PromptLine(section="In their own words, they insist", text="“it must not load the whole file, the csv has 4 GB”", evidence=(ids[9],)),
        PromptLine(section="Sound", text="Messages in this mode run to about 12 words; match that economy.", evidence=tuple(ids[8:])),
    )  # fmt: skip
    text = (
        f"You are {name}, one mode in which one particular person thinks. Answer as they would in this mode.\n\nDo:\n"
    )
    text += "\n".join(f"- {line.text}" for line in lines)
    return SystemPrompt(text=text, tokens=444, budget=700, lines=lines, left_out=("a third example",))


def _analysis(slugs: list[str], personas: list[Persona]) -> ClusterAnalysis:
    k = len(slugs)
    return ClusterAnalysis(
        k=k,
        requested=None,
        found=sum(p.stability >= 0.6 for p in personas),
        verdict=f"{k} modes found: 2 of them come back reliably when conversations are resampled (stability 0.52 to 0.93).",
        candidates=tuple(
            CandidateK(
                k=n, stability=tuple(0.95 - 0.06 * j * abs(n - 4) for j in range(n)), separation=0.2 + 0.1 * n,
                separation_null=0.15 + 0.07 * n, silhouette=0.3, score=0.1 + 0.03 * (4 - abs(n - 4)), smallest=400 // n,
            )
            for n in (2, 3, 4, 5, 6)
        ),
        stability={p.slug: p.stability for p in personas},
        assignments={},
        unassigned={"far from every mode": 211, "no words of your own, and no message around it": 38},
        leak={"topic": 0.61, "language": 0.02, "length": 0.18},
        seed=0,
        settings={"labeller": "52b92717290e"},
    )  # fmt: skip


def _points(slugs: list[str], points: int, rng: random.Random) -> list[MapPoint]:
    out = []
    for n in range(points):
        c = rng.randrange(len(slugs)) if slugs and rng.random() > 0.06 else None
        angle = 2 * math.pi * (c or 0) / max(len(slugs), 1)
        x, y = (0.6 * math.cos(angle), 0.6 * math.sin(angle)) if c is not None else (0.0, 0.0)
        spread = 0.16 if c is not None else 0.45
        out.append(
            MapPoint(
                f"m-{n}",
                round(rng.gauss(x, spread), 4),
                round(rng.gauss(y, spread), 4),
                None if c is None else slugs[c],
            )
        )
    return out
