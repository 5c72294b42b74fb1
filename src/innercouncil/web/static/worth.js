import { $, h, prose, say, guard } from "./dom.js";
import { get, send } from "./api.js";
import { PARTS, basis, evidence, percent, table } from "./figures.js";

const PLACES = ["best", "second", "third"];

function draw(w) {
  const alone = w.costs.find((c) => c.part === "alone");
  $("meter").replaceChildren(...[h("p", {}, h("strong", {}, w.words)),
    w.contests.length ? table("How it was judged", ["against", "judged by", "council better", "baseline better", "alike", "council preferred (95%)", "evidence, 20 is enough", "worth it"],
      w.contests.map((c) => [PARTS[c.baseline], `${c.judge === "person" ? "you" : "models"}, ${basis(c)}`, `${c.wins}`, `${c.losses}`, `${c.ties}`, c.wins + c.losses ? `${percent(c.share)} (${percent(c.low)} to ${percent(c.high)})` : "–", evidence(c.evidence), c.verdict])) : null,
    w.costs.length ? table("What a question takes", ["", "seconds", "tokens", "times the synthesizer alone"], w.costs.map((c) => [PARTS[c.part], c.seconds.toFixed(1), `${Math.round(c.tokens)}`, alone && alone.seconds ? (c.seconds / alone.seconds).toFixed(1) : "–"])) : null,
    ...w.notes.map((n) => h("p", { class: "quiet" }, prose(n)))].filter(Boolean));
}

function card(html, n, count) {
  const text = h("div", { class: "answer-text scroll" });
  text.innerHTML = html;
  return h("article", { class: "card", "aria-label": `Answer ${n + 1}` }, h("h3", {}, `Answer ${n + 1}`), text,
    h("label", {}, "Place ", h("select", { id: `place-${n}`, required: true }, h("option", { value: "" }, "choose"), PLACES.slice(0, count).map((p, i) => h("option", { value: `${i}` }, p)))));
}

async function load() {
  draw(await get("/api/worth"));
  const { trial, html, waiting } = await get("/api/worth/trial");
  $("trial").hidden = !trial;
  $("none").hidden = Boolean(trial);
  if (!trial) return;
  $("trial").dataset.session = trial.session;
  $("question").textContent = trial.question;
  $("answers").replaceChildren(...html.map((text, n) => card(text, n, html.length)));
  $("waiting").textContent = `${waiting} ${waiting === 1 ? "waits" : "wait"}; equal places are fine.`;
}

$("trial").addEventListener("submit", guard(async (event) => {
  event.preventDefault();
  const tiers = [[], [], []];
  document.querySelectorAll("#answers select").forEach((select, n) => tiers[Number(select.value)].push(n));
  await send("POST", `/api/worth/${$("trial").dataset.session}`, { tiers: tiers.filter((t) => t.length) });
  await load();
  say("Kept.", "good");
}));
guard(load)();
