import { $, h, guard, day } from "./dom.js";
import { get } from "./api.js";

const canvas = $("map"), pen = canvas.getContext("2d");
let points = [], personas = [], hidden = new Set(), chosen = null, view = { x: 0, y: 0, zoom: 1 };
const seatOf = (slug) => personas.findIndex((p) => p.slug === slug);
const nameOf = (slug) => personas.find((p) => p.slug === slug)?.name ?? "no persona";
const visible = () => points.filter((p) => !hidden.has(p[3]));

function place([, x, y]) {
  const w = canvas.clientWidth, hgt = canvas.clientHeight, s = (Math.min(w, hgt) / 2.2) * view.zoom;
  return [w / 2 + (x - view.x) * s, hgt / 2 + (y - view.y) * s];
}

/** A shape a persona, so that colour is not the only difference; SIGNS are the same in the legend. */
const SIGNS = ["\u25cf", "\u25a0", "\u25b2", "\u25c6", "\u2b24"];
function shape(kind, x, y, r) {
  pen.beginPath();
  if (kind === 1) pen.rect(x - r, y - r, 2 * r, 2 * r);
  else if (kind === 2) { pen.moveTo(x, y - 1.3 * r); pen.lineTo(x + 1.2 * r, y + r); pen.lineTo(x - 1.2 * r, y + r); pen.closePath(); }
  else if (kind === 3) { pen.moveTo(x, y - 1.4 * r); pen.lineTo(x + 1.4 * r, y); pen.lineTo(x, y + 1.4 * r); pen.lineTo(x - 1.4 * r, y); pen.closePath(); }
  else pen.arc(x, y, kind === 4 ? 1.3 * r : r, 0, 7);
}

function draw() {
  const ratio = devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  for (const p of visible()) {
    const seat = seatOf(p[3]), [x, y] = place(p);
    shape(seat, x, y, p === chosen ? 7 : 3);
    pen.fillStyle = seat < 0 ? style.getPropertyValue("--line") : style.getPropertyValue(`--p${seat % 6}`);
    pen.globalAlpha = p === chosen ? 1 : 0.65;
    pen.fill();
  }
  pen.globalAlpha = 1;
}

const open = guard(async (p) => {
  chosen = p;
  draw();
  const m = await get(`/api/messages/${encodeURIComponent(p[0])}`);
  $("message").replaceChildren(h("h2", {}, nameOf(p[3])), h("p", { class: "quiet" }, `${m.title}${m.time ? " · " + day(m.time * 1000) : ""}`),
    m.context && h("div", { class: "quoted quiet" }, m.context.slice(0, 600)), h("div", { class: "quoted" }, m.text.slice(0, 4000)));
});

function nearest(x, y) {
  let best = null, far = 14;
  for (const p of visible()) { const [a, b] = place(p), d = Math.hypot(a - x, b - y); if (d < far) { far = d; best = p; } }
  return best;
}

function zoom(by) { view.zoom = Math.min(60, Math.max(0.5, view.zoom * by)); draw(); }
function move(dx, dy) { const s = (Math.min(canvas.clientWidth, canvas.clientHeight) / 2.2) * view.zoom; view.x -= dx / s; view.y -= dy / s; draw(); }
function reset() { view = { x: 0, y: 0, zoom: 1 }; draw(); }

function list() {
  $("points").replaceChildren(...visible().slice(0, 200).map((p, i) => h("li", {}, h("button", { class: "second small", onclick: () => open(p) }, `${nameOf(p[3])}, message ${i + 1}`))));
}

guard(async () => {
  ({ points, personas } = await get("/api/map"));
  if (!points.length) $("notices").append(h("p", { class: "notice" }, "There is no map yet. ", h("a", { href: "/import" }, "Import your chats"), "."));
  const entries = [...personas.map((p) => [p.slug, p.name]), [null, "No persona"]];
  $("legend").replaceChildren(...entries.map(([slug, name]) => h("label", { seat: Math.max(seatOf(slug), 0) }, h("input", { type: "checkbox", checked: true, onchange: (e) => { e.target.checked ? hidden.delete(slug) : hidden.add(slug); draw(); list(); } }), slug ? h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[seatOf(slug)] || SIGNS[0]) : " ", name)));
  draw();
  list();
})();

let drag = null, fingers = new Map(), spread = 0;
canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); fingers.set(e.pointerId, e); drag = { x: e.clientX, y: e.clientY, moved: 0 }; spread = 0; });
canvas.addEventListener("pointermove", (e) => {
  if (!fingers.has(e.pointerId)) return;
  fingers.set(e.pointerId, e);
  if (fingers.size === 2) { const [a, b] = [...fingers.values()], now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); if (spread) zoom(now / spread); spread = now; return; }
  const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
  drag = { x: e.clientX, y: e.clientY, moved: drag.moved + Math.abs(dx) + Math.abs(dy) };
  if (drag.moved > 4) move(dx, dy);
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => {
  fingers.delete(e.pointerId);
  if (name === "pointerup" && drag && drag.moved <= 4) { const box = canvas.getBoundingClientRect(), p = nearest(e.clientX - box.left, e.clientY - box.top); if (p) open(p); }
});
canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(e.deltaY < 0 ? 1.15 : 1 / 1.15); }, { passive: false });
canvas.addEventListener("keydown", (e) => {
  const act = { "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: reset, ArrowLeft: () => move(40, 0), ArrowRight: () => move(-40, 0), ArrowUp: () => move(0, 40), ArrowDown: () => move(0, -40) }[e.key];
  if (act) { e.preventDefault(); act(); }
});
$("in").addEventListener("click", () => zoom(1.4));
$("out").addEventListener("click", () => zoom(1 / 1.4));
$("reset").addEventListener("click", reset);
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
