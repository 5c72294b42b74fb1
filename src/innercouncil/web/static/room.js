import { $, h, prose, say, unsay, guard } from "./dom.js";
import { get, send } from "./api.js";
import { SessionView, lost } from "./view.js";

const params = new URLSearchParams(location.search);
let parent = params.get("parent");
const attachments = [];
let watching = new AbortController();
const view = new SessionView($("session"), {
  onFinished: (status) => { busy(false); view.offer(status); },
  onRetry: async (seat) => { unsay(); await send("POST", `/api/sessions/${view.id}/retry`, { seat }); follow(view.id); },
});

function busy(on) { $("go").disabled = on; $("stop").hidden = !on; }

/** Watch a session; one that was watched before is let go. */
const follow = guard(async (id) => {
  watching.abort();
  const mine = watching = new AbortController();
  busy(true);
  history.replaceState(null, "", `/?session=${id}`);
  try { await view.watch(id, mine.signal).catch(gone); } finally { if (watching === mine) busy(false); }
});

/** A session that is not there does not stay in the address. */
function gone(error) {
  lost(error);
  parent = null;
  history.replaceState(null, "", "/");
}

async function load() {
  const status = await get("/api/status");
  $("temperature").placeholder = String(status.defaults.temperature);
  const { personas } = await get("/api/personas");
  $("seats").replaceChildren(...personas.map(({ persona: p }) =>
    h("label", { title: p.version.card.description }, h("input", { type: "checkbox", value: p.slug, checked: p.enabled }), " ", p.version.card.name)));
  const notices = [];
  if (!personas.length) notices.push(h("p", { class: "notice" }, "There are no personas yet. ", h("a", { href: "/import" }, "Import your chats"), " to discover yours, or ", h("a", { href: "/personas" }, "make one by hand"), "."));
  if (!status.backend.ready) notices.push(h("p", { class: "notice bad" }, prose(status.backend.problem), " ", h("a", { href: "/models" }, "Choose models")));
  else if (status.backend.remote.length) notices.push(h("p", { class: "notice bad" }, `What you ask is sent to ${status.backend.remote.join(" and ")}.`));
  else notices.push(h("p", { class: "quiet" }, `Workers: ${status.backend.worker} · Synthesizer: ${status.backend.synthesizer}`));
  $("notices").replaceChildren(...notices);
  if (parent) await followUp().catch(gone);
  if (params.get("session")) await follow(params.get("session"));
}

async function followUp() {
  const before = await get(`/api/sessions/${parent}`);
  $("following").hidden = false;
  $("following").textContent = `Follow-up to: ${before.council.question.slice(0, 200)}`;
  $("question").focus();
}

function drawAttached() {
  $("attached").replaceChildren(...attachments.map((a, i) => h("li", {}, `${a.name}, ${a.text.length} characters `,
    h("button", { type: "button", class: "second small", onclick: () => { attachments.splice(i, 1); drawAttached(); } }, "Remove"))));
}

$("files").addEventListener("change", guard(async () => {
  for (const file of $("files").files) {
    if (file.size > 400000) { say(`${file.name} is too large to attach; shorten it to what the question needs.`); continue; }
    attachments.push({ name: file.name, text: await file.text() });
  }
  $("files").value = "";
  drawAttached();
}));

$("ask").addEventListener("submit", guard(async (event) => {
  event.preventDefault();
  if ($("go").disabled) return;
  unsay();
  const options = { rounds: $("rounds").checked ? 1 : 0, baselines: $("baselines").checked, blind: $("blind").checked, tally: $("tally").value, seed: Number($("seed").value || 0) };
  if ($("temperature").value) options.temperature = Number($("temperature").value);
  const seats = [...$("seats").querySelectorAll("input")].filter((x) => x.checked).map((x) => x.value);
  $("go").disabled = true;
  const { id } = await send("POST", "/api/sessions", { question: $("question").value, personas: seats, options, parent, attachments })
    .catch((error) => { busy(false); throw error; });
  parent = null;
  $("following").hidden = true;
  await follow(id);
}));
$("question").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit(); });
$("stop").addEventListener("click", guard(() => { unsay(); return send("POST", `/api/sessions/${view.id}/stop`); }));
guard(load)();
