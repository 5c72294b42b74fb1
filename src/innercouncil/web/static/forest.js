// Shares with their intervals, a row each, drawn by Chart.js: redrawn at the width there is, moved through with the keyboard,
// and each row leads to the sessions behind it. What it draws always stands in a table beside it.
import "./vendor/chart.umd.min.js";
import { h } from "./dom.js";

const { Chart } = globalThis;
const drawn = new Map();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)"), still = matchMedia("(prefers-reduced-motion: reduce)");
/** Height a tooltip may take. */
const TIP = 120;
/** Radii with which they look equally large. */
const SIZES = { rect: 9, triangle: 9 };
export const SHAPES = { circle: "●", rect: "■", triangle: "▲" };

/** Lines of at most so many characters, broken after spaces and hyphens; what does not fit ends in an ellipsis. */
function wrap(text, chars, most = 4) {
  const out = [""];
  for (let word of text.split(/(?<=[ -])/)) {
    if ((out.at(-1) + word).trimEnd().length > chars && out.at(-1)) out.push("");
    while (word.trimEnd().length > chars) { out[out.length - 1] = word.slice(0, chars); word = word.slice(chars); out.push(""); }
    out[out.length - 1] += word;
  }
  const lines = out.map((l) => l.trimEnd()).filter(Boolean);
  return lines.length > most ? [...lines.slice(0, most - 1), `${lines[most - 1].slice(0, chars - 1)}…`] : lines;
}

/** A vertical line that is told what it means. */
const line = {
  id: "reference",
  beforeDatasetsDraw(chart, _given, { at, label }) {
    if (!label) return;
    const { ctx, chartArea: area, scales: { x } } = chart, where = x.getPixelForValue(at);
    ctx.save();
    ctx.strokeStyle = css("--soft");
    ctx.lineWidth = 1.5;
    ctx.setLineDash([5, 4]);
    ctx.beginPath(); ctx.moveTo(where, area.top); ctx.lineTo(where, area.bottom); ctx.stroke();
    ctx.fillStyle = css("--soft");
    ctx.font = `${Chart.defaults.font.size}px ${Chart.defaults.font.family}`;
    ctx.textAlign = "center";
    ctx.fillText(label, where, area.top - 6);
    ctx.restore();
  },
};

/** Above or below its row where there is room, so that the marks of the row stay in sight. */
function side({ chart, tooltip }) {
  const y = tooltip?.getActiveElements()[0]?.element.y;
  if (y === undefined) return undefined;
  return y > TIP ? "bottom" : chart.height - y > TIP ? "top" : undefined;
}

function config(rows, o, width) {
  const chars = Math.max(9, Math.floor((width < 560 ? 0.38 : 0.3) * width / 7.6));
  const labels = rows.map((r) => wrap(r.label, chars));
  const accent = css("--accent"), ink = css("--ink"), ground = css("--card"), grid = css("--line");
  const point = { type: "line", showLine: false, clip: false, pointRadius: rows.map((r) => SIZES[r.shape] || 6), pointHoverRadius: 10, pointHitRadius: 18, pointBorderWidth: 1.5, pointHoverBorderWidth: 3 };
  const datasets = [
    { ...point, data: rows.map((r) => r.value), pointStyle: rows.map((r) => r.shape || "circle"), pointBackgroundColor: accent, pointBorderColor: ground, pointHoverBackgroundColor: accent, pointHoverBorderColor: ink, order: 0 },
    { type: "bar", clip: false, data: rows.map((r) => [r.low, r.high]), barThickness: 5, borderRadius: 3, borderSkipped: false, backgroundColor: accent, order: 2 },
  ];
  if (rows.some((r) => r.other !== undefined)) datasets.push({ ...point, data: rows.map((r) => r.other), pointStyle: "rectRot", pointBackgroundColor: ground, pointBorderColor: ink, pointHoverBackgroundColor: ground, pointHoverBorderColor: ink, order: 1 });
  return {
    labels,
    config: {
      type: "bar", data: { labels, datasets }, plugins: [line],
      options: {
        indexAxis: "y", responsive: true, maintainAspectRatio: false, animation: still.matches ? false : { duration: 250 }, layout: { padding: { top: 18, right: 14 } },
        interaction: { mode: "index", axis: "y", intersect: false },
        onHover: (event, at) => { event.native.target.style.cursor = at.length && rows[at[0].index].href ? "pointer" : "default"; },
        onClick: (_event, at) => { if (at.length && rows[at[0].index].href) location.href = rows[at[0].index].href; },
        scales: {
          x: { min: o.min, max: o.max, grid: { color: grid }, border: { color: grid }, ticks: { color: ink, stepSize: (o.max - o.min) / 4, maxRotation: 0, callback: (v) => `${Math.round(100 * v)}%` } },
          y: { grid: { display: false }, border: { color: grid }, ticks: { color: ink, autoSkip: false, crossAlign: "far" } },
        },
        plugins: {
          legend: { display: false }, reference: { at: o.reference, label: o.meaning },
          tooltip: {
            animation: false, yAlign: side, caretPadding: 9, backgroundColor: ink, titleColor: ground, bodyColor: ground, displayColors: false, filter: (item) => item.datasetIndex === 0,
            callbacks: { title: (items) => items.length ? wrap(rows[items[0].dataIndex].label, 30) : "", label: (item) => wrap(rows[item.dataIndex].said, 34, 5) },
          },
        },
      },
    },
  };
}

function keys(canvas, live, chart, rows, label) {
  let at = 0;
  const show = (n) => {
    at = Math.max(0, Math.min(rows.length - 1, n));
    const active = [{ datasetIndex: 0, index: at }], { x, y } = chart.getDatasetMeta(0).data[at];
    chart.setActiveElements(active);
    chart.tooltip.setActiveElements(active, { x, y });
    chart.update("none");
    live.textContent = `${rows[at].label}: ${rows[at].said}`;
  };
  const hide = () => { chart.setActiveElements([]); chart.tooltip.setActiveElements([], { x: 0, y: 0 }); chart.update("none"); live.textContent = ""; };
  canvas.setAttribute("aria-label", `${label}: ${rows.length} rows. Arrow keys move, Enter opens the sessions behind a row; the table below holds the same figures.`);
  canvas.addEventListener("focus", () => show(at));
  canvas.addEventListener("blur", hide);
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: rows.length - 1 };
    if (event.key in moves) { event.preventDefault(); show(moves[event.key]); }
    if (event.key === "Enter" && rows[at].href) location.href = rows[at].href;
    if (event.key === "Escape") hide();
  });
}

/** Draw rows of {label, value, low, high, said, href, shape, other} into a box; o: {label, reference, meaning, min, max}. */
export function forest(box, rows, o) {
  const options = { reference: 0.5, meaning: "50%", min: 0, max: 1, ...o };
  drawn.get(box)?.chart.destroy();
  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-roledescription": "chart" }), live = h("p", { class: "unseen", "aria-live": "polite" });
  const font = getComputedStyle(document.body);
  Object.assign(Chart.defaults.font, { family: font.fontFamily, size: 13 });
  const width = box.clientWidth, made = config(rows, options, width);
  box.style.height = `${60 + rows.length * Math.max(34, 14 + 16 * Math.max(...made.labels.map((lines) => lines.length)))}px`;
  box.replaceChildren(canvas, live);
  const chart = new Chart(canvas, made.config);
  keys(canvas, live, chart, rows, options.label);
  drawn.set(box, { chart, width, again: () => forest(box, rows, o) });
}

function redraw(changed) {
  for (const [box, { chart, width, again }] of [...drawn]) {
    if (!box.isConnected) { chart.destroy(); drawn.delete(box); } else if (changed(box, width)) again();
  }
}
let waiting;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => redraw((box, width) => box.clientWidth && box.clientWidth !== width), 150); });
dark.addEventListener("change", () => redraw(() => true));
