// What pages with figures are made of: tables, links to the sessions behind a figure, and waiting.
import { h } from "./dom.js";

/** The ways of answering that the worth-it meter compares. */
export const PARTS = { council: "the council", alone: "the synthesizer alone", samples: "plain samples" };
export const percent = (x) => `${Math.round(100 * x)}%`;
/** With spaces that do not break. */
export const interval = (e) => `${Math.round(100 * Math.max(0, e.low))}\u00a0to\u00a0${percent(Math.min(1, e.high))}`;
export const evidence = (e) => (e >= 1000 ? "over 1,000" : e >= 10 ? `${Math.round(e)}` : e.toPrecision(2));
export const many = (n, what) => `${n.toLocaleString()} ${what}${n === 1 ? "" : "s"}`;
/** What a line of the worth-it meter rests on; several judges of a session make one outcome of it. */
export const basis = (c) => { const n = c.wins + c.ties + c.losses; return many(n, "session") + (c.judgements === n ? "" : ` with ${many(c.judgements, "judgement")}`); };
export const csv = (name, given = {}) => `/api/dashboard/${name}.csv${Object.keys(given).length ? `?${new URLSearchParams(given)}` : ""}`;
export const behind = (figure, given) => `/dashboard/sessions?${new URLSearchParams({ figure, ...given })}`;

/** A link to the sessions behind a figure. */
export const sessions = (href, n, about) => h("a", { href, "aria-label": `${many(n, "session")} behind ${about}` }, many(n, "session"));

/** A table with a caption, a row header in each row, and the same figures as CSV where there is a file of them. */
export function table(caption, head, rows, file) {
  // The roles are those the elements have; on a narrow screen rows are drawn as blocks, which would take them away.
  const cells = (row) => row.map((cell, n) => (n ? h("td", { role: "cell", "data-head": head[n] }, cell) : h("th", { scope: "row", role: "rowheader" }, cell)));
  return h("div", {}, h("div", { class: "table" }, h("table", { class: "votes figures", role: "table" }, h("caption", {}, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head.map((t) => h("th", { scope: "col", role: "columnheader" }, t)))),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, cells(row)))))),
    file ? h("p", { class: "quiet" }, h("a", { href: file, download: "" }, `${caption} as CSV`)) : null);
}

/** A box for a chart; the figures it holds are in the table after it. */
export const box = () => h("div", { class: "chart-box" });
export const code = (text) => h("code", {}, text);

/** Show that something takes its time, with the seconds once there are two of them. */
export async function patient(node, words, promise) {
  const seconds = h("span", { "aria-hidden": "true" }), said = h("p", { class: "quiet", role: "status" }, `${words} …`, seconds);
  const began = Date.now(), empty = !node.childElementCount;
  if (empty) node.append(said);
  const timer = setInterval(() => {
    if (!said.isConnected) node.prepend(said);
    seconds.textContent = ` ${Math.round((Date.now() - began) / 1000)} s`;
  }, 2000);
  node.setAttribute("aria-busy", "true");
  try { return await promise; } finally { clearInterval(timer); said.remove(); node.removeAttribute("aria-busy"); }
}
