import { $, h, prose, say, guard } from "./dom.js";
import { get, send, remove } from "./api.js";
import { followJob } from "./jobs.js";

const NUMBERS = ["context_tokens", "slots", "gpu_layers"], TEXTS = ["worker", "synthesizer", "keep_alive"];
const SIGNS = { good: "\u2713", bad: "!", note: "\u00b7" };

function size(bytes) { return bytes ? `, ${(bytes / 1e9).toFixed(1)} GB` : ""; }

function fill(data) {
  for (const key of [...NUMBERS, ...TEXTS]) $(key).value = data.settings[key];
  $("lite").checked = data.settings.lite;
  $("synthesizer").disabled = data.settings.lite;
  $("known").replaceChildren(...data.found.map((m) => h("option", { value: m.name })));
  $("found").replaceChildren(...(data.found.length ? data.found.map((m) => h("li", { class: "row" }, `${m.name} (${m.where}${size(m.size_bytes)})`, h("button", { class: "second small", type: "button", onclick: () => use("worker", m) }, "Use for the workers"), h("button", { class: "second small", type: "button", onclick: () => use("synthesizer", m) }, "for the final answer"))) : [h("li", { class: "quiet" }, "No model was found: fetch one below, or name a .gguf file above.")]));
  $("folder").textContent = `GGUF files for the built-in llama.cpp are looked for in ${data.folder}.`;
  $("forms").textContent = `A model is written as ${data.forms}.`;
  const notices = [];
  for (const host of data.consent) notices.push(h("div", { class: "notice bad" }, h("p", {}, `${host} is not this machine: your questions, the answers and the personas' prompts would be sent there.`),
    h("button", { class: "second", onclick: guard(async () => { await send("POST", "/api/consent", { host }); await load(); }) }, `Send text to ${host}`)));
  if (!data.consent.length) notices.push(data.backend.ready ? h("p", { class: "notice" }, `Ready. Workers: ${data.backend.worker}; synthesizer: ${data.backend.synthesizer}.`) : h("p", { class: "notice bad" }, prose(data.backend.problem)));
  $("notices").replaceChildren(...notices);
}

function use(key, model) {
  $(key).value = model.name;
  $("lite").checked = key === "worker" && model.where === "llama.cpp";
  $("synthesizer").disabled = $("lite").checked;
  $("use").requestSubmit();
}

async function load() {
  fill(await get("/api/models"));
  const { lines } = await get("/api/doctor");
  $("lines").replaceChildren(...lines.map((x) => h("li", { class: { good: "good", bad: "bad" }[x.verdict] }, h("span", { "aria-hidden": "true" }, `${SIGNS[x.verdict]} `), prose(x.text))));
}

$("lite").addEventListener("change", () => { $("synthesizer").disabled = $("lite").checked; });
$("use").addEventListener("submit", guard(async (event) => {
  event.preventDefault();
  const settings = { lite: $("lite").checked };
  for (const key of NUMBERS) settings[key] = Number($(key).value);
  for (const key of TEXTS) settings[key] = $(key).value;
  await send("PUT", "/api/models", settings);
  await load();
}));
$("pull").addEventListener("submit", guard(async (event) => {
  event.preventDefault();
  const { job } = await send("POST", "/api/models/pull", { name: $("name").value.trim() });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Download" }), text = h("span", {}), stop = h("button", { type: "button", class: "second small", onclick: guard(() => remove(`/api/jobs/${job}`)) }, "Stop");
  $("fetching").replaceChildren(h("p", { class: "row" }, bar, text, stop));
  try {
    await followJob(job, (j) => { bar.value = j.done / j.total; text.textContent = `${j.title} ${j.total > 1 ? `${(j.done / 1e9).toFixed(2)} of ${(j.total / 1e9).toFixed(2)} GB` : ""}`; });
  } finally { $("fetching").replaceChildren(); }
  await load();
  say("The model is here.", "good");
}));
guard(load)();
