// The persona page's adapter: what its gates say, what blind tests came to, and the switch.
import { $, h, say, guard } from "./dom.js";
import { get, send } from "./api.js";
import { followJob } from "./jobs.js";

const url = `/api/personas/${encodeURIComponent(document.body.dataset.key)}/adapter`;
const MARKS = { pass: "good", fail: "bad", open: "quiet" };
const WORDS = { pass: "passed", fail: "failed", open: "not told" };

const action = (label, act, second = true) => h("button", { type: "button", class: second ? "second" : "", onclick: guard(async () => {
  const buttons = document.querySelectorAll("#adapter button");
  buttons.forEach((b) => { b.disabled = true; });
  try { await act(); } finally { $("gating").textContent = ""; await load(); }
}) }, label);

async function runGates() {
  const { job } = await send("POST", `${url}/gates`);
  await followJob(job, (j) => { $("gating").textContent = `${j.title || "Working"} … ${Math.round((100 * j.done) / j.total)}%`; });
  say("The gates were run.", "good");
}

async function force() {
  const reason = $("adapter-reason").value.trim();
  if (!reason) throw new Error("Its gates say no: write down why it should serve all the same. The reason goes on its card.");
  await send("POST", `${url}/seat`, { reason });
}

function actions({ name, gates, seated }) {
  const out = [];
  if (seated) out.push(action("Back to the prompt alone", () => send("POST", `${url}/unseat`), false));
  else if (gates && gates.passed) out.push(action("Speak with the adapter", () => send("POST", `${url}/seat`, { reason: "" }), false));
  else if (gates) out.push(h("label", {}, "Reason ", h("input", { id: "adapter-reason", maxlength: "500" })), action("Seat it all the same", force));
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
