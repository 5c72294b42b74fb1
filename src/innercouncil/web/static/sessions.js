import { $, h, day, guard, ask, unsay } from "./dom.js";
import { get, remove, upload } from "./api.js";
import { paged } from "./paged.js";

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
      h("button", { class: "second small", "aria-label": `Delete the session: ${s.question.slice(0, 60)}`, onclick: guard(async () => { if (await ask("Delete this session, and those that follow up on it and quote it, for good?", "Delete")) { unsay(); try { await remove(`/api/sessions/${s.id}`); } finally { await list.again(); } } }) }, "Delete")));
  return item;
}

const list = paged($("more"),
  (limit, before) => get(`/api/sessions?query=${encodeURIComponent($("query").value)}&limit=${limit}${before ? `&before=${before}` : ""}`),
  (page, more) => {
    const rows = page.sessions.map(row);
    if (!more) $("list").replaceChildren();
    $("list").append(...rows);
    $("count").textContent = page.total ? `${page.total} session${page.total === 1 ? "" : "s"}` : $("query").value ? "Nothing found." : "No sessions yet: ask your council a question.";
    if (more && rows.length) rows[0].querySelector("a").focus();
  });

const search = guard(async () => {
  const query = $("query").value;
  unsay();
  history.replaceState(null, "", query ? `/sessions?query=${encodeURIComponent(query)}` : "/sessions");
  await list.again();
});

let waiting;
$("query").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 150); });
$("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
$("more").addEventListener("click", guard(() => { unsay(); return list.more(); }));
$("file").addEventListener("change", guard(async () => {
  unsay();
  try { const { id } = await upload("/api/sessions/import", $("file").files[0]); location.href = `/sessions/${id}`; } finally { $("file").value = ""; }
}));
$("query").value = new URLSearchParams(location.search).get("query") || "";
guard(list.again)();
