// The persona page's adapter: what its gates say, what blind tests came to, and the switch.
import { $, h, say, guard } from "./dom.js";
import { get, send } from "./api.js";
import { followJob } from "./jobs.js";

const url = `/api/personas/${encodeURIComponent(document.body.dataset.key)}/adapter`;
const MARKS = { pass: "good", fail: "bad", open: "quiet" };
const WORDS = { pass: "passed", fail: "failed", open: "not told" };

const act = guard(async (what) => {
  const buttons = document.querySelectorAll("#adapter button");
  buttons.forEach((b) => { b.disabled = true; });
  try { await what(); } finally { await load(); }
});
const action = (label, what, second = true) => h("button", { type: "button", class: second ? "second" : "", onclick: () => act(what) }, label);

async function runGates() {
  const { job } = await send("POST", `${url}/gates`);
  await followJob(job);
  say("The gates were run.", "good");
}

/** For an adapter whose gates say no: it is seated with a reason only. */
function force(typed) {
  const reason = h("input", { id: "adapter-reason", maxlength: "500", value: typed, required: true, pattern: ".*\\S.*", title: "Why it should serve although its gates say no; it goes on its card." });
  const seat = (event) => { event.preventDefault(); act(() => send("POST", `${url}/seat`, { reason: reason.value.trim() })); };
  return h("form", { class: "row", onsubmit: seat }, h("label", {}, "Reason ", reason), h("button", { class: "second" }, "Seat it all the same"));
}

function actions({ name, gates, seated }) {
  const out = [];
  if (seated) out.push(action("Back to the prompt alone", () => send("POST", `${url}/unseat`), false));
  else if (gates && gates.passed) out.push(action("Speak with the adapter", () => send("POST", `${url}/seat`, { reason: "" }), false));
  else if (gates) out.push(force($("adapter-reason") ? $("adapter-reason").value : ""));
  if (name) out.push(action(gates ? "Run the gates again" : "Run the gates", runGates, Boolean(gates) || Boolean(seated)));
  if (gates && (gates.passed || seated)) out.push(action("Test it blind", async () => { await send("POST", `${url}/test`); location.href = "/ab"; }));
  return out;
}

async function load() {
  const data = await get(url);
  const { name, base, licence, gates, verdict, seated, notes, tests } = data;
  $("adapter").hidden = !name && !seated;
  $("adapter-state").replaceChildren(h("span", {}, h("strong", {}, seated ? `Speaks with ${seated.name}. ` : "Speaks with the prompt alone. "),
    name && `Trained: ${name}, for ${base} (licence: ${licence}). ${verdict}`, seated && seated.forced && ` Seated all the same: ${seated.forced}`));
  $("gates").replaceChildren(...(gates ? gates.gates.map((g) => h("li", {}, h("span", { class: MARKS[g.outcome] }, `${g.name}: ${WORDS[g.outcome]}. `), g.words)) : []),
    ...notes.map((n) => h("li", { class: "quiet" }, n)));
  $("adapter-tests").replaceChildren(...tests.map((t) => h("li", {}, h("a", { href: "/ab" }, t.name), `: ${t.words}`,
    t.better === true && h("strong", {}, " The adapter is better."), t.better === false && h("strong", {}, " The prompt alone is better."))));
  $("adapter-actions").replaceChildren(...actions(data));
}

guard(load)();
