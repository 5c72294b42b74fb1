import { $, h, say, guard, ask } from "./dom.js";
import { get, send, remove, upload } from "./api.js";
import { followJob } from "./jobs.js";

const FORMATS = { "card-v2": "Character Card v2", "card-v3": "Character Card v3", "card-png": "Character Card PNG", modelfile: "Ollama Modelfile", "open-webui": "Open WebUI model", "llm-template": "llm template", skill: "SKILL.md", markdown: "Markdown" };
const selected = new Set();

function sentence(loss) { return loss.length ? loss.join(" ") : "Nothing is lost in this format."; }

const exportAs = guard(async (slug, format) => {
  const { loss, filename } = await get(`/api/personas/${slug}/export/${format}/loss`);
  if (await ask(`${filename}: ${sentence(loss)}`, "Download")) location.href = `/api/personas/${slug}/export/${format}`;
});

async function job(started, done) {
  const { job: id } = await started;
  await followJob(id);
  say(done, "good");
}

const discard = guard(async ({ slug, origin }, name) => {
  const what = origin === "discovered" ? `Delete ${name}? It can be brought back from “Removed personas”.` : `Delete ${name} with its versions, for good?`;
  if (!await ask(`${what} To only leave it out, untick “Sits in the council”.`, "Delete")) return;
  await remove(`/api/personas/${slug}`);
  await load();
});

function card({ persona: p, tokens }, conflict) {
  const c = p.version.card, url = `/api/personas/${p.slug}`;
  const choose = h("select", { "aria-label": `Export ${c.name} as` }, Object.entries(FORMATS).map(([k, v]) => h("option", { value: k }, v)));
  return h("li", { class: "card" },
    h("h3", {}, h("a", { href: `/personas/${p.slug}` }, c.name), p.edited && h("span", { class: "badge" }, "edited"), p.origin !== "discovered" && h("span", { class: "badge" }, p.origin)),
    h("p", {}, c.description), h("p", { class: "quiet" }, `${tokens} tokens · version ${p.version.number}`),
    conflict && h("p", { class: "notice" }, "You edited this prompt, and discovery has written a newer one. ",
      h("button", { class: "second small", onclick: guard(async () => { await send("POST", "/api/personas/sync", { overwrite: [p.slug] }); await load(); }) }, "Take the new one"), " or keep yours and do nothing."),
    h("label", {}, h("input", { type: "checkbox", checked: p.enabled, onchange: guard(async (e) => { await send("POST", `${url}/enabled`, { enabled: e.target.checked }); }) }), " Sits in the council"),
    p.source && h("label", {}, h("input", { type: "checkbox", checked: selected.has(p.slug), onchange: (e) => { e.target.checked ? selected.add(p.slug) : selected.delete(p.slug); offerMerge(); } }), " Select to merge"),
    h("p", { class: "row" }, h("a", { class: "button second small", href: `/personas/${p.slug}` }, "Open"),
      h("button", { class: "second small", onclick: guard(async () => { await send("POST", `${url}/duplicate`, {}); await load(); }) }, "Duplicate"),
      p.source && h("button", { class: "second small", onclick: guard(async () => { if (await ask(`Divide ${c.name} into two personas?`, "Split")) { await job(send("POST", `${url}/split`), "It was divided."); await load(); } }) }, "Split"),
      h("button", { class: "second small", onclick: () => discard(p, c.name) }, "Delete")),
    h("p", { class: "row" }, choose, h("button", { class: "second small", onclick: () => exportAs(p.slug, choose.value) }, "Export")));
}

function offerMerge() { $("merge").hidden = selected.size !== 2; }

async function load() {
  const { personas, conflicts, removed } = await get("/api/personas"), listed = new Set(personas.map((p) => p.persona.slug));
  selected.forEach((slug) => listed.has(slug) || selected.delete(slug));
  offerMerge();
  $("removed").hidden = !removed.length;
  $("gone").replaceChildren(...removed.map(({ slug, name }) => h("li", { class: "row" }, name, h("button", { class: "second small", "aria-label": `Bring ${name} back`, onclick: guard(async () => { await send("POST", `/api/personas/${slug}/bring-back`); await load(); }) }, "Bring back"))));
  $("list").replaceChildren(...personas.map((p) => card(p, conflicts.includes(p.persona.slug))));
  if (!personas.length) $("list").append(h("li", { class: "card" }, "No personas yet. ", h("a", { href: "/import" }, "Import your chats"), " to discover yours."));
}

$("create").addEventListener("click", guard(async () => {
  const name = await ask("What is the new persona called?", "Create", "");
  if (!name) return;
  const made = await send("POST", "/api/personas", { name, system: `You are ${name}.` });
  location.href = `/personas/${made.slug}`;
}));
$("merge").addEventListener("click", guard(async () => {
  const name = await ask("Name of the merged persona (empty: the first one's)", "Merge", "");
  if (name === null) return;
  $("merge").disabled = true;
  try { await job(send("POST", "/api/personas/merge", { slugs: [...selected], name }), "They are one persona now."); } finally { $("merge").disabled = false; }
  selected.clear();
  await load();
}));
$("file").addEventListener("change", guard(async () => {
  const file = $("file").files[0];
  const { cards } = await upload(`/api/cards/read?filename=${encodeURIComponent(file.name)}`, file);
  $("file").value = "";
  $("preview").replaceChildren(...cards.map((c, i) => h("section", { class: "panel", "aria-label": "Preview" }, h("h2", {}, c.card.name), h("p", {}, c.card.description),
    c.warnings.map((w) => h("p", { class: "bad" }, w)), c.loss.map((x) => h("p", { class: "quiet" }, x)), h("div", { class: "quoted" }, c.card.system),
    h("p", { class: "row" }, h("button", { onclick: guard(async () => { const made = await upload(`/api/cards?filename=${encodeURIComponent(file.name)}&index=${i}`, file); location.href = `/personas/${made.slug}`; }) }, "Keep it (not seated yet)"),
      h("button", { class: "second", onclick: () => $("preview").replaceChildren() }, "Cancel")))));
}));
guard(load)();
