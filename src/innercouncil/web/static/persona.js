import { $, h, say, guard, ask, day } from "./dom.js";
import { get, send, stream, markdown } from "./api.js";
import { followJob } from "./jobs.js";

const slug = document.body.dataset.key, url = `/api/personas/${encodeURIComponent(slug)}`;
let generated = null, clean = "";
const state = () => JSON.stringify([$("name").value, $("description").value, $("temperature").value, $("system").value]);

function fill(card) {
  $("heading").textContent = card.name;
  document.title = `${card.name} · innercouncil`;
  $("name").value = card.name;
  $("description").value = card.description;
  $("temperature").value = card.temperature ?? "";
  $("system").value = card.system;
  clean = state();
}

/** Whether what was typed since the last save may be thrown away; asks where there is any. */
const may = async (confirm) => state() === clean || ask("What you typed on this page is not saved, and will be lost.", confirm);

const MARKS = { same: " ", added: "+", removed: "-" };
const diffLines = (lines) => lines.map((x) => h("div", { class: x.kind }, `${MARKS[x.kind]} ${x.text}`));

async function measure() {
  const { tokens } = await send("POST", "/api/tokens", { text: $("system").value });
  $("tokens").textContent = `${tokens} tokens (an upper estimate)`;
  if (generated === null) { $("diff").textContent = "This persona was not discovered; there is no generated prompt."; return; }
  const { lines } = await send("POST", `${url}/diff`, { system: $("system").value });
  const changed = lines.some((x) => x.kind !== "same");
  $("diff").replaceChildren(...(changed ? diffLines(lines) : ["The same."]));
}

function evidence(text, ids, note) {
  const box = h("details", {}, h("summary", {}, text, note && h("span", { class: "quiet" }, ` ${note}`)));
  box.addEventListener("toggle", guard(async () => {
    if (!box.open || box.dataset.loaded) return;
    box.dataset.loaded = "yes";
    for (const id of ids.slice(0, 5)) {
      const m = await get(`/api/messages/${encodeURIComponent(id)}`);
      box.append(h("p", { class: "quiet" }, `${m.title}${m.time ? " · " + day(m.time * 1000) : ""}`), m.context && h("div", { class: "quoted quiet" }, m.context.slice(0, 600)), h("div", { class: "quoted" }, m.text.slice(0, 2000)));
    }
  }));
  return box;
}

/** Show the persona as it is kept; with `keep`, what is being typed stays. */
async function load(keep = false) {
  const data = await get(url);
  generated = data.generated;
  if (!keep || state() === clean) fill(data.persona.version.card);
  $("undo").disabled = data.earlier === null;
  $("revert").hidden = generated === null;
  $("history").replaceChildren(...data.versions.map((v) => h("li", { class: "row" }, `${v.number}. ${v.reason}, ${day(v.made_at)}`, v.number !== data.persona.version.number &&
    h("button", { class: "second small", "aria-label": `Bring version ${v.number} back`, onclick: guard(async () => { if (await may("Bring back")) { await send("POST", `${url}/restore`, { version: v.number }); await load(); } }) }, "Bring back"))));
  const d = data.discovered;
  $("evidence").replaceChildren(...(d ? [h("p", { class: "quiet" }, `${d.size} messages, ${Math.round(100 * d.share)}% of yours; ${d.verdict}, stability ${d.stability.toFixed(2)}`),
    h("h3", {}, "What was found"), ...d.claims.map((c) => evidence(c.text, c.evidence, c.share === null ? "" : `${Math.round(100 * c.share)}% here, ${Math.round(100 * (c.elsewhere ?? 0))}% elsewhere`)),
    h("h3", {}, "Lines of the prompt"), ...d.prompt.lines.map((l) => evidence(`${l.section}: ${l.text}`, l.evidence, `${l.evidence.length} message${l.evidence.length === 1 ? "" : "s"}`))] : [h("p", { class: "quiet" }, "This persona was not discovered in your messages.")]));
  await measure();
  $("written").hidden = !d;
  if (d) await loadOffer();
}

const job = async (started, done, keep = false) => {
  const { job: id } = await started;
  await followJob(id);
  await load(keep);
  say(done, "good");
};
const busy = (action) => guard(async (...given) => {
  const buttons = document.querySelectorAll("#written button");
  buttons.forEach((b) => { b.disabled = true; });
  try { await action(...given); } finally { buttons.forEach((b) => { b.disabled = false; }); }
});
const choose = (which) => busy(async () => {
  if (clean && state() !== clean) throw new Error("You have changes on this page; save or undo them first.");
  await job(send("POST", `${url}/choose`, { which, name: Boolean($("with-name") && $("with-name").checked) }), which === "model" ? "The model's prompt is in place." : "The offline prompt is back.");
});

async function loadOffer() {
  const { offered, model } = await get(`${url}/written`);
  if (!$("author").value) $("author").value = model;
  const w = offered && offered.written;
  const dropped = w ? Object.entries(w.dropped).map(([why, n]) => `${n} × ${why}`).join(", ") || "nothing" : "";
  if (!w) { $("offer").replaceChildren(); return; }
  const by = h("p", { class: "quiet" }, `By ${w.model}. Dropped: ${dropped}.`);
  if (!w.usable) { $("offer").replaceChildren(h("p", { class: "notice" }, "Too little of what it wrote is supported by your messages: the offline prompt stands."), by); return; }
  const cite = (text, ids) => evidence(text, ids, `${ids.length} message${ids.length === 1 ? "" : "s"}`);
  const lines = w.prompt.lines.filter((l) => l.section !== "Examples");
  $("offer").replaceChildren(h("h3", {}, w.name), h("p", {}, w.description), by,
    h("h4", {}, "Against the offline prompt"), h("div", { class: "diff" }, diffLines(offered.diff)),
    h("details", {}, h("summary", {}, "What each line rests on"), w.description_evidence.map((ids, i) => cite(`Description, sentence ${i + 1}`, ids)), lines.map((l) => cite(`${l.section}: ${l.text}`, l.evidence))),
    h("p", { class: "row" }, offered.chosen ? h("button", { type: "button", onclick: choose("offline") }, "Back to the offline prompt") : h("button", { type: "button", onclick: choose("model") }, "Use this prompt"),
      !offered.chosen && h("label", {}, h("input", { type: "checkbox", id: "with-name" }), ` Call the persona ${w.name} too`)));
}

let waiting;
$("system").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(guard(measure), 250); });
$("edit").addEventListener("submit", guard(async (event) => {
  event.preventDefault();
  const temperature = $("temperature").value === "" ? null : Number($("temperature").value);
  await send("PUT", url, { name: $("name").value, description: $("description").value, system: $("system").value, temperature });
  await load();
  say("Saved.", "good");
}));
$("undo").addEventListener("click", guard(async () => { if (await may("Back one version")) { await send("POST", `${url}/undo`); await load(); say("Went back one version.", "good"); } }));
$("revert").addEventListener("click", guard(async () => { if ($("system").value !== JSON.parse(clean)[3] && !await may("Back to it")) return; $("system").value = generated; await measure(); }));
$("try").addEventListener("submit", guard(async (event) => {
  event.preventDefault();
  const stop = new AbortController(), focused = document.activeElement === $("ask");
  let text = "";
  $("said").className = "answer-text live";
  $("said").textContent = "";
  $("trying").textContent = "Thinking …";
  $("ask").disabled = true;
  $("stop").hidden = false;
  $("stop").onclick = () => stop.abort();
  if (focused) $("stop").focus();
  try {
    await stream("POST", `${url}/try`, { question: $("tried").value, system: $("system").value }, (name, data) => {
      if (name === "delta") { text += data.text; $("said").textContent = text; $("trying").textContent = ""; }
      if (name === "problem") say(data.error);
    }, stop.signal);
  } catch (error) { if (!stop.signal.aborted) throw error; } finally {
    $("trying").textContent = stop.signal.aborted ? "Stopped." : "";
    $("ask").disabled = false;
    if (document.activeElement === $("stop")) $("ask").focus();
    $("stop").hidden = true;
  }
  if (text) await markdown($("said"), text);
}));
$("write").addEventListener("submit", busy(async (event) => {
  event.preventDefault();
  await job(send("POST", `${url}/write`, { model: $("author").value }), "It was written; compare it, and choose.", true);
}));
addEventListener("beforeunload", (event) => { if (clean && state() !== clean) event.preventDefault(); });
guard(async () => {
  try { await load(); } finally { document.querySelector(".two").hidden = !clean; }
})();
