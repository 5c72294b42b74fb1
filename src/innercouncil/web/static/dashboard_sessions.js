import { $, day, guard, h } from "./dom.js";
import { get } from "./api.js";
import { many, patient } from "./figures.js";
import { given, paged } from "./paged.js";

function row({ session: s, said }) {
  const facts = [day(s.created_at), s.winner && `first in the models' eyes: ${s.winner}`, said];
  return h("li", { class: "card" }, h("h2", { class: "question" }, h("a", { href: `/sessions/${s.id}` }, s.question)), h("p", { class: "quiet" }, facts.filter(Boolean).join(" · ")));
}

const list = paged($("more"), (limit, before) => {
  const asked = new URLSearchParams([...given(), ["limit", limit], ...(before ? [["before", before]] : [])]);
  return patient($("list").parentElement, "Looking for the sessions", get(`/api/dashboard/sessions?${asked}`));
}, (page, more) => {
  $("heading").textContent = page.title;
  document.title = `${page.title} · innercouncil`;
  $("count").textContent = page.total ? many(page.total, "session") : "No session is behind this figure.";
  $("note").textContent = page.note;
  const rows = page.sessions.map(row);
  $("list").append(...rows);
  if (more && rows.length) rows[0].querySelector("a").focus();
});

$("csv").href = `/api/dashboard/sessions.csv?${given()}`;
const back = new URLSearchParams([...given()].filter(([name]) => ["board", "topic"].includes(name)));
$("back").href = `/dashboard${back.size ? `?${back}` : ""}`;
$("more").addEventListener("click", guard(list.more));
guard(list.again)();
