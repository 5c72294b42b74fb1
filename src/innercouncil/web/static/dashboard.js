import { $, day, guard } from "./dom.js";
import { adherence } from "./adherence.js";
import { get } from "./api.js";
import { choosing, drawBoards } from "./boards.js";
import { patient } from "./figures.js";
import { tests, twins, worth } from "./reports.js";

const SECTIONS = [
  ["standings", "Counting the votes", (_node, data) => drawBoards(data)],
  ["twins", "Reading the twins", twins],
  ["worth", "Reading the judgements", worth],
  ["ab", "Reading the tests", tests],
  ["adherence", "Reading what was measured", adherence],
];
const shown = {};

/** Fetch a section's figures; it is drawn anew only where they changed. */
async function load([name, words, draw]) {
  const node = $(name);
  try {
    const data = await patient(node, words, get(`/api/dashboard/${name}`)), text = JSON.stringify(data);
    if (shown[name]?.text === text) return;
    shown[name] = { text, data };
    draw(node, data);
  } catch (error) {
    delete shown[name];
    node.replaceChildren(Object.assign(document.createElement("p"), { className: "notice bad", textContent: error.message }));
  }
}

async function refresh() {
  await Promise.all(SECTIONS.map(load));
  $("asof").textContent = `As of ${day(new Date().toISOString())}.`;
}

choosing(() => shown.standings && drawBoards(shown.standings.data));
$("refresh").addEventListener("click", guard(async () => { $("asof").textContent = ""; await refresh(); }));
document.addEventListener("visibilitychange", guard(async () => { if (!document.hidden) await refresh(); }));
guard(refresh)();
