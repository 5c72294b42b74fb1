// The section on adherence: figures beside those of the model without the persona, item by item, in style, and over turns.
import { day, h } from "./dom.js";
import { forest } from "./forest.js";
import { behind, box, code, csv, interval, many, percent, table } from "./figures.js";

const STYLES = { "sentence length": "words a sentence", "question rate": "share of questions", "function words": "match of function words", "frequent words": "distance in frequent words" };
const share = (e) => (e ? `${percent(e.value)} (${interval(e)})` : "–");
const signed = (x) => `${x > 0 ? "+" : x < 0 ? "−" : ""}${Math.abs(Math.round(100 * x))}`;
const points = (e) => (e ? `${signed(e.value)} (${signed(e.low)}\u00a0to\u00a0${signed(e.high)})` : "–");
const plain = (x) => (x === null ? "–" : x.toFixed(2));
const none = (x) => (x === null ? "–" : percent(x));

function detail(p) {
  return h("details", {}, h("summary", {}, `${p.name}: item by item`),
    p.items.length ? table(`Items of ${p.name}`, ["line of the prompt", "kept (95%)", "without the persona", "difference, points", "answered by", "verdict"],
      p.items.map((i) => [i.line || i.question, share(i.persona), share(i.control), points(i.difference), i.by === "judge" ? "the judge" : "counting", i.verdict]), csv("adherence_items")) : h("p", {}, "Nothing in its prompt can be checked."),
    p.style.length ? table(`Style of ${p.name}`, ["measure", "persona", "without it", "your own words", "nearer to you by (95%)", "verdict"],
      p.style.map((s) => [STYLES[s.name], plain(s.persona), plain(s.control), plain(s.voice), s.gain ? `${s.gain.value.toFixed(2)} (${s.gain.low.toFixed(2)} to ${s.gain.high.toFixed(2)})` : "–", s.verdict]), csv("adherence_style")) : null,
    p.drift ? h("p", {}, p.drift.words) : null,
    p.drift && p.drift.by_turn.length ? table(`Turns of ${p.name}`, ["turn", "kept", "words a sentence", "share of questions", "answers"],
      p.drift.by_turn.map((t) => [t.turn ? `${t.turn}` : "opening", none(t.kept), t.sentence_length.toFixed(1), percent(t.question_rate), `${t.answers}`]), csv("adherence_turns")) : null);
}

export function adherence(node, { made_at, report, problem }) {
  if (!report) {
    node.replaceChildren(h("p", {}, problem || h("span", {}, "Not measured yet. ", code("innercouncil evaluate adherence"), " draws a checklist from each prompt, lets the personas answer, and the model without them, and counts what holds.")));
    return;
  }
  const judged = report.personas.filter((p) => p.kept), chart = box(), change = box(), drifts = report.personas.filter((p) => p.drift && p.drift.change);
  const link = (p) => h("a", { href: behind("seated", { slug: p.persona }), "aria-label": `Sessions in which ${p.name} answered` }, "where it answered");
  node.replaceChildren(...[
    h("p", {}, `Measured ${day(made_at)} on ${many(report.questions, "question")} asked for it, answered by ${report.model} with and without each persona.`),
    report.judge ? h("p", { class: report.judge.usable ? "quiet" : "notice bad" }, `Judge: ${report.judge.model}. ${report.judge.words}`) : h("p", { class: "quiet" }, "Nobody judged; only what can be counted is told."),
    judged.length ? chart : null, judged.length ? h("p", { class: "quiet" }, "● with the persona, with its 95% interval  ◇ the same model without it") : null,
    table("Adherence", ["persona", "keeps to its lines (95%)", "without the persona", "difference, points", "verdict", "answers", "sessions"],
      report.personas.map((p) => [p.name, share(p.kept), share(p.control), points(p.difference), p.verdict, `${p.answers}`, link(p)]), csv("adherence")),
    ...report.personas.map((p) => h("p", {}, p.words)),
    drifts.length ? h("h3", {}, "Late in a conversation") : null,
    drifts.length ? h("p", { class: "quiet" }, "How much more is kept in the second half of long conversations than in the first; below 0 it fades.") : null,
    drifts.length ? change : null,
    drifts.length ? table("Late less early", ["persona", "early", "late", "change, points (95%)", "verdict", "conversations"], drifts.map(({ name, drift: d }) => [name, none(d.early), none(d.late), points(d.change), d.verdict, `${d.conversations}`]), csv("adherence")) : null,
    ...report.personas.map(detail), ...report.notes.map((n) => h("p", { class: "quiet" }, n)),
    h("p", { class: "quiet" }, "To measure again: ", code("innercouncil evaluate adherence"), "."),
  ].filter(Boolean));
  if (judged.length) forest(chart, judged.map((p) => ({ label: p.name, ...p.kept, other: p.control ? p.control.value : undefined, href: behind("seated", { slug: p.persona }), said: `keeps to ${share(p.kept)}, without the persona ${share(p.control)}: ${p.verdict}` })), { label: "Share of the checklist that is kept", meaning: "" });
  if (drifts.length) forest(change, drifts.map(({ name, persona, drift: d }) => ({ label: name, ...d.change, href: behind("seated", { slug: persona }), said: `${points(d.change)} points: ${d.verdict}` })), { label: "Adherence late less early", meaning: "no change", reference: 0, min: -1 });
}
