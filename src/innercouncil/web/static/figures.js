// What every section of the dashboard is made of: tables, links to the sessions behind a figure, and waiting.
import { h } from "./dom.js";

export const percent = (x) => `${Math.round(100 * x)}%`;
export const interval = (e) => `${percent(Math.max(0, e.low))} to ${percent(Math.min(1, e.high))}`;
export const many = (n, what) => `${n.toLocaleString()} ${what}${n === 1 ? "" : "s"}`;
export const csv = (name, given = {}) => `/api/dashboard/${name}.csv${Object.keys(given).length ? `?${new URLSearchParams(given)}` : ""}`;
export const behind = (figure, given) => `/dashboard/sessions?${new URLSearchParams({ figure, ...given })}`;

/** A link to the sessions behind a figure. */
export const sessions = (href, n, about) => h("a", { href, "aria-label": `${many(n, "session")} behind ${about}` }, many(n, "session"));

/** A table with a caption, a row header in each row, and the same figures as CSV. */
export function table(caption, head, rows, file) {
  const cells = (row) => row.map((cell, n) => (n ? h("td", {}, cell) : h("th", { scope: "row" }, cell)));
  return h("div", {}, h("div", { class: "table" }, h("table", { class: "votes figures" }, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, head.map((t) => h("th", { scope: "col" }, t)))), h("tbody", {}, rows.map((row) => h("tr", {}, cells(row)))))),
    h("p", { class: "quiet" }, h("a", { href: file, download: "" }, `${caption} as CSV`)));
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
