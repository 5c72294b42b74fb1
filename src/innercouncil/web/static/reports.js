// The sections that are drawn from reports: twins, worth it and A/B tests.
import { day, h, prose } from "./dom.js";
import { SHAPES, forest } from "./forest.js";
import { PARTS, basis, behind, box, code, csv, evidence, interval, many, percent, sessions, table } from "./figures.js";

const VERDICTS = { distinct: "circle", twins: "rect", "not sure": "triangle" };
const MOST = 20;
const ratio = (e) => (e ? `${e.value.toFixed(2)} (${e.low.toFixed(2)} to ${e.high.toFixed(2)})` : "–");

export function twins(node, { made_at, report, names, problem, sessions: counts }) {
  if (!report) {
    node.replaceChildren(h("p", {}, problem || h("span", {}, "Not looked for yet. ", code("innercouncil evaluate twins"), " lets every persona answer the same questions and compares; ", code("innercouncil evaluate twins --from-sessions"), " asks nothing and compares what kept sessions hold.")));
    return;
  }
  const pairs = report.pairs.map((p, n) => ({ ...p, label: `${names[p.one]}\u00a0– ${names[p.other]}`, sessions: counts[n], href: behind("pair", { slug: p.one, other: p.other }) }));
  const chart = box(), removals = report.removals.filter((r) => r.sessions), without = box();
  const link = (p) => (report.model ? h("a", { href: p.href, "aria-label": `Sessions in which both answered: ${p.label}` }, "both answered") : sessions(p.href, p.sessions, p.label));
  node.replaceChildren(...[
    h("p", {}, `Found ${day(made_at)} from ${many(report.samples, "answer")} to ${many(report.questions, "question")}${report.model ? ` by ${report.model}` : " of kept sessions"}. All at once are told apart in ${percent(report.attribution.value)} (${interval(report.attribution)}), chance is ${percent(report.chance)}.`),
    pairs.length ? chart : null,
    pairs.length ? h("p", { class: "quiet" }, `${SHAPES.circle} distinct  ${SHAPES.rect} twins  ${SHAPES.triangle} not sure${pairs.length > MOST ? `; the ${MOST} most alike of ${pairs.length}, the table has all` : ""}`) : null,
    ...pairs.filter((p) => p.remedy !== "none").slice(0, MOST).map((p) => h("p", {}, p.advice)),
    pairs.length ? h("details", { open: pairs.length <= 10 }, h("summary", {}, `All ${many(pairs.length, "pair")} as a table`), table("Pairs", ["pair", "told apart", "95% interval", "between over within", "lines alike", "verdict", "to do", "questions", "behind it"],
      pairs.map((p) => [p.label, percent(p.attribution.value), interval(p.attribution), ratio(p.ratio), percent(p.prompt_overlap), p.verdict, p.remedy, `${p.questions}`, link(p)]), csv("twins"))) : null,
    removals.length ? h("h3", {}, "What would change without each") : null,
    removals.length ? h("p", { class: "quiet" }, "Share of the sessions that another would have won without the persona's answer and ballot.") : null,
    removals.length ? without : null,
    removals.length ? table("Votes without each", ["without", "another wins", "95% interval", "it won", "it decided between others", "behind it"],
      removals.map((r) => [names[r.persona], percent(r.changes.value), interval(r.changes), percent(r.wins.value), percent(r.swings.value), sessions(behind("removal", { slug: r.persona }), r.sessions, `the votes without ${names[r.persona]}`)]), csv("removals")) : null,
    ...report.notes.map((n) => h("p", { class: "quiet" }, prose(n))),
    h("p", { class: "quiet" }, "To look again: ", code("innercouncil evaluate twins"), "."),
  ].filter(Boolean));
  if (pairs.length) forest(chart, pairs.slice(0, MOST).map((p) => ({ label: p.label, ...p.attribution, shape: VERDICTS[p.verdict], href: p.href, said: `told apart in ${percent(p.attribution.value)} (${interval(p.attribution)}): ${p.verdict}` })), { label: "How often the author of an answer is told, for each pair", meaning: "chance" });
  if (removals.length) forest(without, removals.map((r) => ({ label: names[r.persona], ...r.changes, href: behind("removal", { slug: r.persona }), said: `another wins in ${percent(r.changes.value)} (${interval(r.changes)}) of ${many(r.sessions, "session")}` })), { label: "Share of sessions with another winner without each persona", meaning: "" });
}

export function worth(node, { worth: w, rows }) {
  const chart = box(), alone = w.costs.find((c) => c.part === "alone");
  const label = (c) => `against ${PARTS[c.baseline]}, ${c.judge === "person" ? "you judge" : "models judge"}`;
  const lines = rows.map(({ contest: c, sessions: n }) => ({ ...c, n, label: label(c), href: behind("worth", { baseline: c.baseline, judge: c.judge }) }));
  node.replaceChildren(...[
    h("p", {}, h("strong", {}, w.words)), lines.length ? chart : null,
    lines.length ? table("The council against its baselines", ["council", "preferred", "95%, whenever one looks", "better, alike, worse", "evidence, 20 is enough", "worth it", "behind it"],
      lines.map((c) => [c.judgements > c.n ? `${c.label}: ${basis(c)}` : c.label, percent(c.share), interval(c), `${c.wins}, ${c.ties}, ${c.losses}`, evidence(c.evidence), c.verdict, sessions(c.href, c.n, c.label)]), csv("worth")) : null,
    w.costs.length ? table("What a question takes", ["", "seconds", "tokens", "times the synthesizer alone", "sessions"], w.costs.map((c) => [PARTS[c.part], c.seconds.toFixed(1), `${Math.round(c.tokens)}`, alone && alone.seconds ? (c.seconds / alone.seconds).toFixed(1) : "–", `${c.sessions}`]), csv("costs")) : null,
    ...w.notes.map((n) => h("p", { class: "quiet" }, prose(n))),
    h("p", {}, h("a", { href: "/worth" }, w.waiting ? `Judge blindly: ${many(w.waiting, "session")} ${w.waiting === 1 ? "waits" : "wait"}` : "Worth it?")),
  ].filter(Boolean));
  if (lines.length) forest(chart, lines.map((c) => ({ label: c.label, value: c.share, low: c.low, high: c.high, href: c.href, said: `preferred in ${percent(c.share)} (${interval(c)}) of ${c.wins + c.losses} decided: ${c.verdict}` })), { label: "How often the council is preferred", meaning: "no difference" });
}

export function tests(node, { tests: all }) {
  if (!all.length) { node.replaceChildren(h("p", {}, "No test yet. ", h("a", { href: "/ab" }, "Begin one"), ": two variants answer the same questions, and you vote without knowing whose an answer is.")); return; }
  const chart = box(), href = (t) => `/ab?test=${encodeURIComponent(t.name)}#pairs`;
  const told = all.filter((t) => !t.waiting && t.a_wins + t.b_wins).map((t) => ({ ...t, share: t.b_wins / (t.a_wins + t.b_wins) }));
  const cells = (t) => {
    const link = h("a", { href: href(t), "aria-label": `${many(t.asked, "pair")} behind ${t.name}` }, many(t.asked, "pair"));
    if (t.waiting) return [t.name, "–", "–", "–", "–", "a question waits for your vote", link];
    const one = told.find((x) => x.name === t.name);
    return [t.name, `${t.a} / ${t.b}`, one ? `${percent(one.share)} (${interval(t)})` : "–", `${t.a_wins}, ${t.b_wins}, ${t.ties}`, `${evidence(t.e_value)} of ${Math.round(t.enough)}`, t.words, link];
  };
  node.replaceChildren(...[told.length ? chart : null,
    table("A/B tests", ["test", "A / B", "B wins (95%)", "A, B, ties", "evidence", "verdict", "behind it"], all.map(cells), csv("ab")), h("p", {}, h("a", { href: "/ab" }, "A/B tests"))].filter(Boolean));
  if (told.length) forest(chart, told.map((t) => ({ label: t.name, value: t.share, low: t.low, high: t.high, href: href(t), said: `B (${t.b}) wins ${percent(t.share)} (${interval(t)}); evidence ${evidence(t.e_value)} of ${Math.round(t.enough)}` })), { label: "Share of decided votes that B wins, for each test", meaning: "no difference" });
}
