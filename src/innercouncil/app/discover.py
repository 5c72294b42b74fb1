"""The main job: from an export to personas, stage by stage; every stage is redone only when its input changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from innercouncil import __version__
from innercouncil.app.embedding import ChosenEmbedder, embed_messages, load_evidence, open_embedder
from innercouncil.app.facet_modes import STAGE as FACETS
from innercouncil.app.facet_modes import FacetModes, find_facets, load_facets, message_modes
from innercouncil.app.findings import TITLES, load_discovery
from innercouncil.app.labelling import Scores, label_file, load_scores, read_labelled
from innercouncil.app.mode_comparison import Sides, compare_modes, load_comparison
from innercouncil.app.model_labelling import Helper, ModelLabelReport, improve_labels
from innercouncil.app.modes_file import MappedModes, embedder_of, load_modes, save_modes
from innercouncil.app.persona_files import discovery_of, persona_files, write_persona_files
from innercouncil.app.settings import Settings
from innercouncil.app.structure import STRUCTURAL, Group, apply_changes, overlay
from innercouncil.discovery.cluster import MIN_MESSAGES, Modes, find_modes, leak
from innercouncil.discovery.embedding import DIMENSIONS, TEXT_CHARS
from innercouncil.discovery.evidence import BLOCK_WEIGHTS, EMBEDDING_WEIGHT, NEIGHBOUR_PULL, Evidence
from innercouncil.discovery.labeller import Labeller
from innercouncil.discovery.map2d import project
from innercouncil.discovery.model_labels import prompt_version
from innercouncil.discovery.personas import Inputs, build_personas
from innercouncil.discovery.redaction import Redactor
from innercouncil.model.conversation import ImportReport
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError, UsageError
from innercouncil.model.facets import ModeComparison
from innercouncil.model.persona import (
    Discovery,
    Persona,
)
from innercouncil.model.ports import Watcher
from innercouncil.readers.registry import read_messages
from innercouncil.reporting.page import render_report
from innercouncil.store import database
from innercouncil.store.workspace import Workspace, fingerprint, writing

STAGES: Final = ("read", "label", "embed", "cluster", "personas", "report")
MAP_POINTS: Final = 5000


class Outcome(NamedTuple):
    """What a run found, and where the files are."""

    discovery: Discovery
    report: ImportReport
    files: dict[str, Path]
    resumed: tuple[str, ...]
    """Stages that were found done."""
    model_labels: ModelLabelReport | None = None
    """What became of a model's labels, where one was asked."""
    comparison: ModeComparison | None = None
    """The two ways of finding modes beside each other, where facets were extracted."""


def discover_personas(
    export: Path, workspace: Workspace, settings: Settings, watcher: Watcher, helper: Helper | None = None
) -> Outcome:
    """Run (or resume) all stages on an export and return what was found; `helper` is a model that improves the labels
    and, where the settings want modes from facets, extracts those.

    Raises InnerCouncilError with one clear sentence for bad input, an unusable workspace, or too little text.
    """
    if settings.modes == "facets" and helper is None:
        raise UsageError(
            "--modes facets needs a model that reads your conversations: add --llm ollama, embedded or a URL."
        )
    if settings.modes == "labels" and helper is not None and helper.budget == 0:
        raise UsageError("With --llm-budget 0 the model has nothing to do: give it a budget, or add --modes facets.")
    embedder = open_embedder(workspace, settings.embedder) if settings.embedder else None
    with workspace.lock():
        run = _Run(workspace, settings, watcher, helper, embedder)
        run.read(export)
        run.label()
        run.embed()
        run.cluster()
        run.facets()
        run.personas()
        run.report()
        return run.outcome()


def rebuild_personas(workspace: Workspace, settings: Settings, watcher: Watcher) -> Outcome:
    """Write personas and report again from the workspace as it is, after a change of the person."""
    with workspace.lock():
        run = _Run(workspace, settings, watcher)
        run.continue_from_cluster()
        run.personas()
        run.report()
        return run.outcome()


class _Run:
    """One pass through the stages; holds the fingerprints that tie them together."""

    def __init__(
        self, workspace: Workspace, settings: Settings, watcher: Watcher, helper: Helper | None = None,
        embedder: ChosenEmbedder | None = None,
    ) -> None:  # fmt: skip
        self.ws, self.settings, self.watcher, self.helper = workspace, settings, watcher, helper
        self.embedder = embedder
        self._facets: FacetModes | None = None
        self.prints: dict[str, str] = {}
        self.resumed: list[str] = []
        self._scores: Scores | None = None
        if settings.refresh:
            workspace.forget(STAGES)
            if settings.modes == "facets":
                workspace.forget([FACETS])

    @contextmanager
    def _stage(
        self, name: str, outputs: Callable[[], Iterable[Path]], **parts: Any
    ) -> Iterator[Callable[[int, int], None] | None]:
        """Yield a progress function if the stage must run, None if it is done already; stamp it afterwards."""
        self.prints[name] = fingerprint(stage=name, version=__version__, **parts)
        if self.ws.is_done(name, self.prints[name]):
            self.resumed.append(name)
            self.watcher.stage(TITLES[name], done=True)
            yield None
            return
        self.ws.forget(STAGES[STAGES.index(name) :])
        progress = self.watcher.stage(TITLES[name], done=False)
        progress(0, 1)
        yield progress
        self.ws.finish(name, self.prints[name], outputs())
        progress(1, 1)

    def read(self, export: Path) -> None:
        """Export -> all_messages.jsonl and import_report.json."""
        kept, digest = self.ws.keep_import(export)
        outputs = (self.ws.all_messages, self.ws.import_report)
        with self._stage("read", lambda: outputs, digest=digest) as progress:
            if progress is None:
                return
            report = ImportReport(format="", source_name=kept.name)
            encoder = msgspec.json.Encoder()
            with writing(self.ws.all_messages) as out:
                for message in read_messages(kept, report, progress=progress):
                    out.write(encoder.encode(message) + b"\n")
            self.ws.write_json(self.ws.import_report, report)

    def import_report(self) -> ImportReport:
        """The report of the read stage."""
        return msgspec.json.decode(self.ws.import_report.read_bytes(), type=ImportReport)

    def label(self) -> None:
        """all_messages.jsonl -> categorized_messages.jsonl and score arrays."""
        profile = self.settings.profile
        total = self.import_report().user_messages
        if total < MIN_MESSAGES:
            raise NothingToDiscoverError(
                f"The export holds {total} message{'s' if total != 1 else ''} of yours with text; at least {MIN_MESSAGES} are "
                "needed to look for modes. Export more chats and run the command again."
            )
        outputs = (self.ws.categorized_messages, self.ws.label_scores)
        helper = self.helper if self.helper and self.helper.budget else None
        helped = {"model": helper.identity, "budget": helper.budget, "prompt": prompt_version()} if helper else {}
        with self._stage(
            "label", lambda: outputs, read=self.prints["read"], labeller=Labeller.load().version, **helped
        ) as progress:
            if progress is None:
                return
            label_file(
                self.ws.all_messages, self.ws.categorized_messages, self.ws.label_scores,
                workers=profile.workers, batch=profile.batch, total=total, progress=progress,
            )  # fmt: skip
            self.ws.model_labels_report.unlink(missing_ok=True)
            if helper is not None:
                asked = self.watcher.stage("Asking the model", done=False)
                if improve_labels(self.ws, helper, asked) is None:
                    raise DeclinedError(
                        "Nothing was asked. Run the same command without --llm to go on with the offline labels."
                    )
                asked(1, 1)

    @property
    def scores(self) -> Scores:
        """Score arrays, loaded once."""
        if self._scores is None:
            self._scores = load_scores(self.ws.label_scores)
        return self._scores

    def embed(self) -> None:
        """The person's own words -> a block of the evidence, where they named an embedder."""
        if self.embedder is None:
            return
        parts = {
            "read": self.prints["read"], "model": self.embedder.identity, "redacted": self.embedder.remote,
            "chars": TEXT_CHARS, "dimensions": DIMENSIONS,
        }  # fmt: skip
        with self._stage("embed", lambda: (self.ws.embeddings,), **parts) as progress:
            if progress is not None:
                embed_messages(self.ws, self.embedder, progress)

    def cluster(self) -> None:
        """Scores, and vectors where there are any -> the modes."""
        s = self.settings
        parts = {
            "label": self.prints["label"], "clusters": s.clusters, "seed": s.seed, "sample": s.profile.sample,
            "bootstraps": s.bootstraps, "weights": BLOCK_WEIGHTS, "pull": NEIGHBOUR_PULL,
        }  # fmt: skip
        if self.embedder is not None:
            parts |= {"embed": self.prints["embed"], "embedding_weight": EMBEDDING_WEIGHT}
        with self._stage("cluster", lambda: (self.ws.modes, self.ws.modes_info), **parts) as progress:
            if progress is None:
                return
            scores = self.scores
            evidence = load_evidence(self.ws, scores, embedded=self.embedder is not None)
            if int((evidence.strength > 0).sum()) < MIN_MESSAGES:
                raise NothingToDiscoverError(
                    f"Fewer than {MIN_MESSAGES} of your messages hold words of your own, too few to look for modes. "
                    "Export more chats and run the command again."
                )
            modes = _single_threaded(find_modes)(
                evidence.matrix, evidence.strength, scores.conversations.tolist(), clusters=s.clusters, seed=s.seed,
                bootstraps=s.bootstraps, sample=s.profile.sample, progress=progress,
            )  # fmt: skip
            points, at = _single_threaded(project)(evidence.matrix, modes.labels, MAP_POINTS, s.seed)
            found = MappedModes(modes, points, at, _leaks(modes, scores))
            save_modes(self.ws, found, embedder=self.embedder.embedder.name if self.embedder else "")

    def facets(self) -> None:
        """Conversations -> their facets' groups, where the settings want them; else those of an earlier run that still hold."""
        read = self.prints["read"]
        helper = self.helper if self.settings.modes == "facets" else None
        if helper is not None and find_facets(self.ws, helper, self.settings, read, self.watcher):
            self.resumed.append(FACETS)
        self._take_facets(load_facets(self.ws, self.settings, read))

    def _take_facets(self, found: FacetModes | None) -> None:
        stamp = self.ws.stamp(FACETS)
        if found is not None and stamp is not None:
            self._facets, self.prints[FACETS] = found, stamp.fingerprint
        elif self.settings.modes == "facets":
            raise NothingToDiscoverError(
                f"The facets in {self.ws.root} are missing or damaged; run `innercouncil discover EXPORT --modes facets` again."
            )

    def continue_from_cluster(self) -> None:
        """Take the stamps of the finished stages as they are."""
        for name in ("read", "label", "cluster"):
            stamp = self.ws.stamp(name)
            if stamp is None:
                load_discovery(self.ws)
                raise self._incomplete()
            self.prints[name] = stamp.fingerprint
        if embedder_of(self.ws) and not self.ws.embeddings.is_file():
            raise self._incomplete()
        if self.settings.modes == "facets" or self.ws.mode_comparison.exists():
            self._take_facets(load_facets(self.ws))

    def _incomplete(self) -> NothingToDiscoverError:
        return NothingToDiscoverError(
            f"The workspace {self.ws.root} is incomplete; run `innercouncil discover EXPORT` again."
        )

    def _modes(self) -> MappedModes:
        """The modes that personas are made of: the default's, or the facets' groups."""
        if self.settings.modes == "labels" or self._facets is None:
            return load_modes(self.ws)
        s, evidence, seed = self.scores, self._full_evidence(), self.settings.seed
        modes, _ = message_modes(self._facets, s.conversations, evidence, seed)
        points, at = _single_threaded(project)(evidence.matrix, modes.labels, MAP_POINTS, seed)
        return MappedModes(modes, points, at, _leaks(modes, s))

    def personas(self) -> None:
        """Modes and texts -> personas, prompts, per-persona files, with the person's changes applied."""
        changes = database.changes(self.ws.database)
        parts = {"cluster": self.prints["cluster"], "tokens": self.settings.prompt_tokens, "changes": changes}
        if self.settings.modes == "facets":
            parts[FACETS] = self.prints[FACETS]
        with self._stage("personas", lambda: persona_files(self.ws), **parts) as progress:
            if progress is None:
                return
            found = self._modes()
            modes = found.modes
            scores = self.scores
            inputs = Inputs(scores.ids, scores.conversations.tolist(), scores.counts, scores.labels, scores.languages)
            by_model = self._facets is not None and self.settings.modes == "facets"
            names = self._facets.names if self._facets and by_model else (None,) * len(modes.centres)
            groups = [Group(names[c], modes.stability[c], "discovered") for c in range(len(modes.centres))]
            redactor = Redactor()
            built = self._build(inputs, modes, groups, redactor, progress)
            modes, groups = _single_threaded(apply_changes)(modes, built, changes, self._matrix, self.settings.seed)
            if any(c.action in STRUCTURAL for c in changes):
                redactor = Redactor()
                built = self._build(inputs, modes, groups, redactor, progress)
            offline = overlay(built, groups, without=("edit", "choose"))
            generated = overlay(built, groups, without=("edit",))
            discovery = discovery_of(
                overlay(built, groups), found._replace(modes=modes), scores, requested=self.settings.clusters, seed=self.settings.seed,
                settings=self._analysis_settings(), redaction=redactor.report(),
            )  # fmt: skip
            write_persona_files(self.ws, discovery, modes, generated)
            self.ws.write_json(self.ws.offline_personas, {p.slug: p for p in offline})

    def _full_evidence(self) -> Evidence:
        """The evidence the default's modes were found in."""
        return load_evidence(self.ws, self.scores, embedded=bool(embedder_of(self.ws)))

    def _matrix(self) -> npt.NDArray[np.float32]:
        return self._full_evidence().matrix

    def _build(
        self,
        inputs: Inputs,
        modes: Modes,
        groups: Sequence[Group],
        redactor: Redactor,
        progress: Callable[[int, int], None],
    ) -> list[Persona]:
        built = build_personas(
            inputs,
            modes,
            lambda: read_labelled(self.ws.categorized_messages),
            redactor,
            budget=self.settings.prompt_tokens,
            given=[g.name for g in groups],
            progress=progress,
        )
        return [
            msgspec.structs.replace(p, origin=g.origin, verdict=p.verdict if g.origin == "discovered" else "by hand")
            for p, g in zip(built, groups, strict=True)
        ]

    def _analysis_settings(self) -> dict[str, Any]:
        settings = {"weights": BLOCK_WEIGHTS, "neighbour_pull": NEIGHBOUR_PULL, "labeller": Labeller.load().version}
        if embedder := embedder_of(self.ws):
            settings |= {"weights": BLOCK_WEIGHTS | {"embedding": EMBEDDING_WEIGHT}, "embedder": embedder}
        return settings | ({"modes": "facets"} if self.settings.modes == "facets" else {})

    def report(self) -> None:
        """Everything found -> report.html."""
        parts = {"personas": self.prints["personas"]}
        outputs = [self.ws.report]
        if self._facets is not None:
            parts |= {name: self.prints[name] for name in ("cluster", FACETS)}
            outputs.append(self.ws.mode_comparison)
        with self._stage("report", lambda: outputs, **parts) as progress:
            if progress is None:
                return
            discovery = load_discovery(self.ws)
            page = render_report(
                discovery, self.import_report(), generated=_data_until(discovery), version=__version__,
                comparison=self._compare(discovery),
            )  # fmt: skip
            with writing(self.ws.report) as f:
                f.write(page.encode("utf-8"))

    def _compare(self, discovery: Discovery) -> ModeComparison | None:
        """mode_comparison.json, where there are facets that belong to this run; what another run left is taken away."""
        if self._facets is None:
            self.ws.mode_comparison.unlink(missing_ok=True)
            return None
        s, modes = self.settings, load_modes(self.ws).modes
        comparison = compare_modes(
            self.ws, Sides(modes, self._facets), self.scores, self._full_evidence(), used=s.modes, requested=s.clusters,
            personas=discovery.personas, seed=s.seed,
        )  # fmt: skip
        self.ws.write_json(self.ws.mode_comparison, comparison)
        return comparison

    def outcome(self) -> Outcome:
        """What the terminal shows."""
        ws = self.ws
        files = {
            "report": ws.report,
            "personas": ws.personas_json,
            "prompts": ws.generated_prompts,
            "analysis": ws.cluster_analysis,
            "labels": ws.categorized_messages,
        }
        comparison = load_comparison(ws)
        if comparison is not None:
            files |= {
                "comparison": ws.mode_comparison,
                "facets": ws.conversation_facets,
                "hierarchy": ws.facet_hierarchy,
            }
        asked = None
        if ws.model_labels_report.exists():
            asked = msgspec.json.decode(ws.model_labels_report.read_bytes(), type=ModelLabelReport)
        return Outcome(load_discovery(ws), self.import_report(), files, tuple(self.resumed), asked, comparison)


def _leaks(modes: Modes, scores: Scores) -> dict[str, float]:
    """What else the modes could be."""
    return {
        "topic": leak(modes.labels, scores.labels["topic"]),
        "language": leak(modes.labels, scores.languages),
        "length": leak(modes.labels, np.digitize(scores.counts[:, 0], [2.2, 3.3, 4.4, 5.5]).tolist()),
    }


P = ParamSpec("P")
R = TypeVar("R")


def _single_threaded(function: Callable[P, R]) -> Callable[P, R]:
    """Run on one thread of BLAS and OpenMP: the order in which threads add up would change the last digits."""

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with threadpool_limits(limits=1):
            return function(*args, **kwargs)

    return run


def _data_until(discovery: Discovery) -> str:
    """The newest month of the data: a date that does not change from run to run."""
    months = [m for p in discovery.personas for m in p.months]
    if not months:
        return "undated messages"
    return "data up to " + datetime.strptime(max(months), "%Y-%m").replace(tzinfo=UTC).strftime("%B %Y")
