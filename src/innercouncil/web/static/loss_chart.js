// Training loss and held-out loss over the steps as an SVG.

const SVG = "http://www.w3.org/2000/svg", WIDTH = 640, HEIGHT = 200, PAD = 36;

function part(tag, attributes, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

/** Maps of step -> loss; a step that was done twice after a kill counts once. */
export function curves(train, held) {
  const every = [...train.values(), ...held.values()], top = Math.max(...every), bottom = Math.min(...every, top - 1e-6), last = Math.max(...train.keys());
  const x = (step) => PAD + (step / last) * (WIDTH - 2 * PAD), y = (loss) => PAD / 2 + ((top - loss) / (top - bottom)) * (HEIGHT - 1.5 * PAD);
  const line = (points, kind) => part("polyline", { points: [...points].sort((a, b) => a[0] - b[0]).map(([step, loss]) => `${x(step)},${y(loss)}`).join(" "), class: kind });
  const newest = [...train.values()].at(-1).toFixed(3), best = held.size ? `, lowest held-out loss ${Math.min(...held.values()).toFixed(3)}` : "";
  const svg = part("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": `Loss after ${last} steps ${newest}${best}` });
  svg.append(line(train, "line"), line(held, "line held"), part("text", { x: 0, y: y(top) + 4 }, top.toFixed(2)), part("text", { x: 0, y: y(bottom) + 4 }, bottom.toFixed(2)));
  svg.append(part("text", { x: WIDTH - PAD, y: HEIGHT - 4, "text-anchor": "end" }, `${last} steps; solid: training, dashed: held out`));
  return svg;
}
