// The pairs of a test that were voted on, with whose they are; fetched when they are asked for.
import { day, guard, h } from "./dom.js";
import { get } from "./api.js";

function pair(p, page) {
  const won = p.same ? "Both said the same, word for word." : p.outcome === "tie" ? "A tie." : `${p.outcome.toUpperCase()} was preferred.`;
  const side = (name, label, text) => h("article", { class: "card" }, h("h3", {}, `${name}: ${label}`, p.outcome === name.toLowerCase() && h("span", { class: "badge" }, "preferred"), p.first === name.toLowerCase() && h("span", { class: "badge" }, "shown first")),
    h("div", { class: "answer-text live scroll", tabindex: "0", role: "group", "aria-label": `Answer of ${name}` }, text));
  return h("li", {}, h("details", {}, h("summary", {}, `${p.number}. ${p.question}`), h("p", { class: "quiet" }, `${day(p.voted_at)}. ${won}`), h("div", { class: "answers" }, side("A", page.a, p.a), side("B", page.b, p.b))));
}

export function pairs(name) {
  const list = h("ul", { class: "plain" }), more = h("button", { class: "second small", type: "button", hidden: true }, "Show more");
  let before = "";
  const load = guard(async () => {
    const first = !before, page = await get(`/api/ab/${encodeURIComponent(name)}/pairs${before ? `?before=${before}` : ""}`);
    list.append(...page.pairs.map((p) => pair(p, page)));
    before = page.next;
    more.hidden = !page.next;
    if (first && location.hash === "#pairs") box.scrollIntoView();
  });
  more.addEventListener("click", load);
  const box = h("details", { id: "pairs" }, h("summary", {}, "The pairs behind it"), list, h("p", {}, more));
  box.addEventListener("toggle", () => { if (box.open && !list.childElementCount) load(); });
  box.open = location.hash === "#pairs";
  return box;
}
