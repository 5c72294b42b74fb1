// Standings and bias gauges of one board.
import { $, h } from "./dom.js";
import { forest } from "./forest.js";
import { behind, box, csv, interval, many, percent, sessions, table } from "./figures.js";

const EYES = { person: "in your eyes", models: "in the models' eyes" };
const BIASES = { position: "Shown first", length: "Twice as long", formatting: "All in Markdown", own: "The judge's own" };
const place = (r) => (r.first === r.last ? `${r.first}` : `${r.first} to ${r.last}`);
const range = (r) => interval({ low: r.win_low, high: r.win_high });
const about = (b) => `${EYES[b.name]}, ${b.topic ? `on ${b.topic}` : "all topics"}`;

function missing(b) {
  const whose = b.name === "person" ? "with your vote" : "with ballots of the models";
  return [h("p", {}, h("strong", {}, "Not enough votes yet: "), `${many(b.missing, "more question")} ${whose} ${b.missing === 1 ? "is" : "are"} needed before anything is drawn.`),
    b.name === "person" ? h("p", {}, "Vote under the answers of ", h("a", { href: "/sessions" }, "a session"), ".") : null,
    b.questions ? h("p", {}, "So far: ", sessions(behind("board", { board: b.name, topic: b.topic }), b.questions, about(b)), ".") : null];
}

function standings(b, data) {
  const name = (r) => `${data.names[r.slug] || r.slug}${data.gone.includes(r.slug) ? " (gone)" : ""}`;
  const href = (r) => behind("persona", { board: b.name, topic: b.topic, slug: r.slug });
  const chart = box();
  const parts = [h("p", {}, `${about(b)[0].toUpperCase()}${about(b).slice(1)}: `, sessions(behind("board", { board: b.name, topic: b.topic }), b.questions, about(b)), `, ${many(b.judgements, "vote")}.`),
    ...b.warnings.map((w) => h("p", { class: "notice bad" }, h("strong", {}, "Mind: "), w)),
    b.trusted ? h("p", { class: "quiet" }, "Nothing that was checked speaks against this board.") : null, chart,
    table("Standings", ["persona", "place", "is put before an average one", "95% interval", "won, tied, lost", "behind it"],
      b.ratings.map((r) => [name(r), place(r), percent(r.win_rate), range(r), `${r.wins}, ${r.ties}, ${r.losses}`, sessions(href(r), r.questions, name(r))]), csv("standings", { board: b.name, topic: b.topic }))];
  const rows = b.ratings.map((r) => ({ label: name(r), value: r.win_rate, low: r.win_low, high: r.win_high, href: href(r),
    said: `${percent(r.win_rate)} (${range(r)}), place ${place(r)}, ${many(r.questions, "session")}` }));
  return [parts, () => forest(chart, rows, { label: `Standings ${about(b)}`, meaning: "average" })];
}

function gauges(b) {
  const href = (g) => behind("gauge", { board: b.name, topic: b.topic, slug: g.name });
  const shown = (g) => g.low > 0.5 || g.high < 0.5;
  const chart = box();
  const parts = [h("p", {}, `${about(b)[0].toUpperCase()}${about(b).slice(1)}.`), b.gauges.length ? chart : null,
    ...b.gauges.map((g) => h("p", {}, `${g.meaning} `, h("span", { class: "quiet" }, shown(g) ? `(${interval(g)})` : `(${interval(g)}, which may be chance)`))),
    ...b.unmeasured.map((u) => h("p", { class: "quiet" }, `${BIASES[u.name]}: not measured. ${u.why}`)),
    b.gauges.length ? table("Bias gauges", ["of two equally good answers, one that is", "wins", "95% interval", "a bias?", "behind it"],
      b.gauges.map((g) => [BIASES[g.name], percent(g.value), interval(g), shown(g) ? "yes" : "may be chance", sessions(href(g), b.questions, BIASES[g.name])]), csv("gauges", { board: b.name, topic: b.topic })) : null];
  const rows = b.gauges.map((g) => ({ label: BIASES[g.name], value: g.value, low: g.low, high: g.high, shape: shown(g) ? "rect" : "circle", href: href(g), said: `${percent(g.value)} (${interval(g)}): ${shown(g) ? "a bias" : "may be chance"}` }));
  return [parts, () => b.gauges.length && forest(chart, rows, { label: `Bias gauges ${about(b)}`, meaning: "no bias" })];
}

function fill(node, [parts, draw]) {
  node.replaceChildren(...parts.filter(Boolean));
  draw();
}

/** The boards that can be chosen, and the chosen one drawn. */
export function drawBoards(data) {
  const given = new URLSearchParams(location.search), enough = (name) => data.boards.some((b) => b.name === name && !b.missing);
  const wanted = given.get("board") || (enough("person") || !enough("models") ? "person" : "models");
  const mine = data.boards.filter((b) => b.name === wanted);
  const chosen = mine.find((b) => b.topic === (given.get("topic") || "")) || mine[0] || data.boards[0];
  $("board").value = chosen.name;
  $("topic").replaceChildren(...mine.map((b) => h("option", { value: b.topic, selected: b === chosen }, `${b.topic || "all topics"} (${b.questions})`)));
  fill($("standings"), chosen.missing ? [missing(chosen), () => {}] : standings(chosen, data));
  fill($("gauges"), chosen.missing ? [[h("p", { class: "quiet" }, `Measured together with the standings, ${about(chosen)}, once there are enough votes.`)], () => {}] : gauges(chosen));
}

/** Draw again when another board is chosen; the choice stands in the address. */
export function choosing(draw) {
  const changed = (keepTopic) => () => {
    const given = new URLSearchParams({ board: $("board").value, ...(keepTopic && $("topic").value ? { topic: $("topic").value } : {}) });
    history.replaceState(null, "", `/dashboard?${given}`);
    draw();
  };
  $("board").addEventListener("change", changed(false));
  $("topic").addEventListener("change", changed(true));
}
