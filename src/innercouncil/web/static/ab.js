import { $, h, day, guard, ask, say } from "./dom.js";
import { get, send, remove } from "./api.js";
import { followJob } from "./jobs.js";
import { chart } from "./ab_chart.js";
import { pairs } from "./ab_pairs.js";
import { percent, table } from "./figures.js";

const url = (name) => `/api/ab/${encodeURIComponent(name)}`;
const names = (text) => text.split(",").map((s) => s.trim()).filter(Boolean);

function costs(status) {
  const gib = (x) => (x === null ? "unknown" : `${(x / 2 ** 30).toFixed(2)} GiB`), line = (side, c) => [side, c.milliseconds === null ? "none yet" : `${c.milliseconds} ms`, c.answer_tokens === null ? "unknown" : `${c.prompt_tokens} + ${c.answer_tokens}`, gib(c.memory_estimate), gib(c.resident)];
  return table("What an answer costs (medians)", ["side", "time", "tokens in + out", "memory by arithmetic", "held by llama.cpp"], [line(`A: ${status.a.name}`, status.a.cost), line(`B: ${status.b.name}`, status.b.cost)]);
}

function state(test) {
  const s = test.status, v = s.verdict, over = (n) => (n === null ? "over 3000" : n);
  return [h("p", { id: "verdict" }, h("strong", {}, s.words)),
    h("p", {}, `A: ${s.a.name} has ${v.a_wins}, B: ${s.b.name} has ${v.b_wins}; ties ${v.ties}, not counted. E-value ${v.e_value.toFixed(2)}, enough at ${Math.round(1 / s.alpha)}. B wins ${percent(v.low)} to ${percent(v.high)} of votes. Model: ${s.model}.`),
    v.path.length ? chart(v.path, 1 / s.alpha, $("test").clientWidth) : null,
    v.path.length ? h("details", {}, h("summary", {}, "The e-values as a table"), table("E-value after each vote", ["vote", "e-value"], v.path.map((e, i) => [i + 1, e.toFixed(2)]))) : null,
    test.asked ? costs(s) : null,
    table("Votes it takes", ["prefer one", "median", "80% of tests by", "looked at once"], s.power.map((n) => [percent(n.win_rate), over(n.median), over(n.most), n.fixed]))];
}

function ballot(test) {
  const t = test.waiting;
  const vote = (choice) => guard(async () => { show(await send("POST", `${url(test.name)}/vote`, { number: t.number, choice })); });
  const answer = (i) => h("section", { class: "card", "aria-label": `Answer ${i + 1}` }, h("h3", {}, `Answer ${i + 1}`), h("div", { class: "answer-text live scroll", tabindex: "0" }, t.answers[i]));
  return [h("p", {}, h("strong", {}, `Question ${t.number}: `), t.question), h("div", { class: "answers" }, answer(0), answer(1)),
    h("p", { class: "row" }, h("button", { onclick: vote("first") }, "Answer 1 is better"), h("button", { onclick: vote("second") }, "Answer 2 is better"), h("button", { class: "second", onclick: vote("tie") }, "Tie"))];
}

function actions(test) {
  const next = guard(async (event) => {
    event.target.disabled = true;
    try {
      const { job } = await send("POST", `${url(test.name)}/next`);
      await followJob(job);
    } finally { await open(test.name); }
  });
  const more = h("textarea", { rows: "2" });
  return [test.running && !test.waiting && test.asked < test.questions && h("p", { class: "row" }, h("button", { onclick: next }, "Next question"), h("span", { class: "quiet" }, `${test.asked} of ${test.questions} questions asked`)),
    test.running && !test.waiting && h("details", {}, h("summary", {}, "Add questions"), h("label", {}, "One a line", more),
      h("p", {}, h("button", { class: "second", onclick: guard(async () => show(await send("POST", `${url(test.name)}/questions`, { questions: more.value.split("\n") }))) }, "Add"))),
    h("p", { class: "row" }, test.running && h("button", { class: "second small", onclick: guard(async () => { show(await send("POST", `${url(test.name)}/stop`)); await load(); }) }, "Stop the test"),
      h("button", { class: "second small", onclick: guard(async () => { if (await ask("Delete this test with its answers and votes, for good?", "Delete")) { await remove(url(test.name)); history.replaceState(null, "", "/ab"); $("test").replaceChildren(); await load(); } }) }, "Delete"))];
}

function show(test) {
  $("test").replaceChildren(h("div", { class: "panel" }, ...[h("h2", { tabindex: "-1" }, test.name), ...(test.waiting ? ballot(test) : state(test)), test.asked && !test.waiting && pairs(test.name), ...actions(test)].filter(Boolean)));
  $("test").querySelector("h2").focus();
  const told = [...$("list").children].find((row) => row.dataset.name === test.name);
  if (told) told.querySelector(".quiet").textContent = counted(test, told.dataset.day);
}

const counted = (test, begun) => `${begun} · ${test.asked} asked · ${test.running ? "running" : "over"}`;

async function open(name) {
  history.replaceState(null, "", `/ab?test=${encodeURIComponent(name)}${location.hash}`);
  show(await get(url(name)));
}

async function load() {
  const { tests, bundled } = await get("/api/ab");
  $("list").replaceChildren(...tests.map((t) => h("li", { class: "card row", "data-name": t.name, "data-day": day(t.made_at) }, h("button", { class: "second small", onclick: guard(() => open(t.name)) }, `Open ${t.name}`), h("span", { class: "quiet" }, counted(t, day(t.made_at))))));
  $("bundled").textContent = bundled ? `Left empty, the ${bundled} questions that come with innercouncil are asked.` : "Each is asked once.";
  $("questions").required = !bundled;
}

const side = (id) => ({ persona: $(id).value.trim(), system: $(`${id}_system`).value, council: names($(`${id}_council`).value) });
$("start").addEventListener("submit", guard(async (event) => {
  event.preventDefault();
  const body = { name: $("name").value.trim(), a: side("a"), b: side("b"), questions: $("questions").value.split("\n"), answer_tokens: Number($("answer_tokens").value), max_votes: Number($("max_votes").value) };
  const test = await send("POST", "/api/ab", body);
  await load();
  say("The test has begun.", "good");
  show(test);
}));
guard(async () => {
  const { personas } = await get("/api/personas");
  $("known").replaceChildren(...personas.map((p) => h("option", { value: p.persona.slug })));
  await load();
  const name = new URLSearchParams(location.search).get("test");
  if (name) await open(name);
})();
