// The e-value over the votes as an SVG: logarithmic, with the line at which a winner is named.

const SVG = "http://www.w3.org/2000/svg", MOST = 640, HEIGHT = 200, PAD = 36, FRAME = 34;

function part(tag, attributes, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

/** `room`: width of the panel the chart will stand in; drawn at that size, its labels are as large as other text. */
export function chart(path, enough, room) {
  const WIDTH = Math.max(240, Math.min(MOST, room - FRAME));
  const logs = [0, ...path.map((e) => Math.log10(e))], edge = Math.log10(enough);
  const top = Math.max(edge, ...logs) + 0.2, bottom = Math.min(0, ...logs) - 0.2;
  const x = (i) => PAD + (i / path.length) * (WIDTH - 2 * PAD), y = (v) => PAD / 2 + ((top - v) / (top - bottom)) * (HEIGHT - 1.5 * PAD);
  const svg = part("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": `E-value after each of ${path.length} votes: now ${path.at(-1).toFixed(2)}, a winner is named at ${enough.toFixed(0)}` });
  for (const [value, label] of [[0, "1"], [edge, enough.toFixed(0)]]) svg.append(part("line", { x1: PAD, x2: WIDTH - PAD, y1: y(value), y2: y(value), class: value ? "edge" : "axis" }), part("text", { x: 4, y: y(value) + 4 }, label));
  svg.append(part("polyline", { points: logs.map((v, i) => `${x(i)},${y(v)}`).join(" "), class: "line" }), part("text", { x: WIDTH - PAD, y: HEIGHT - 4, "text-anchor": "end" }, `${path.length} votes`));
  return svg;
}
