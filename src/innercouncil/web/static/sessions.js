import { $, h, day, guard, ask } from "./dom.js";
import { get, remove, upload } from "./api.js";

let next = null;
const STATUS = { running: "running", stopped: "stopped", failed: "not finished" };

/** The words between U+0002 and U+0003 are what the search found. */
function marked(text) {
  return text.split(/(\u0002[^\u0003]*\u0003)/).map((part) => (part.startsWith("\u0002") ? h("mark", {}, part.slice(1, -1)) : part));
}

function row(s) {
  const item = h("li", { class: "card" }, h("h3", {}, h("a", { href: `/sessions/${s.id}` }, s.question)),
    s.snippet && h("p", {}, marked(s.snippet)),
    h("p", { class: "row quiet" }, day(s.created_at), ` · ${s.workers} workers`, s.winner && ` · first: ${s.winner}`, s.voted && " · you voted",
      STATUS[s.status] && h("span", { class: "badge" }, STATUS[s.status]),
      h("button", { class: "second small", "aria-label": `Delete the session: ${s.question.slice(0, 60)}`, onclick: guard(async () => { if (await ask("Delete this session, and those that follow up on it and quote it, for good?", "Delete")) { try { await remove(`/api/sessions/${s.id}`); } finally { await load(); } } }) }, "Delete")));
  return item;
}

const load = guard(async (more) => {
  const query = $("query").value;
  history.replaceState(null, "", query ? `/sessions?query=${encodeURIComponent(query)}` : "/sessions");
  const page = await get(`/api/sessions?query=${encodeURIComponent(query)}&limit=30${more && next ? `&before=${next}` : ""}`);
  if (query !== $("query").value) return;
  if (!more) $("list").replaceChildren();
  $("list").append(...page.sessions.map(row));
  next = page.next;
  $("more").hidden = !next;
  $("count").textContent = page.total ? `${page.total} session${page.total === 1 ? "" : "s"}` : query ? "Nothing found." : "No sessions yet: ask your council a question.";
});

let waiting;
$("query").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => load(false), 150); });
$("search").addEventListener("submit", (event) => { event.preventDefault(); load(false); });
$("more").addEventListener("click", () => load(true));
$("file").addEventListener("change", guard(async () => { const { id } = await upload("/api/sessions/import", $("file").files[0]); location.href = `/sessions/${id}`; }));
$("query").value = new URLSearchParams(location.search).get("query") || "";
load(false);
