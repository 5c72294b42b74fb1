// The persona page's training data: what was made, and questions that wait for an answer by hand.
import { $, h, say, guard } from "./dom.js";
import { get, send } from "./api.js";
import { followJob } from "./jobs.js";

const url = `/api/personas/${encodeURIComponent(document.body.dataset.key)}/training`;
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

function card(row) {
  const text = h("textarea", { rows: "4", maxlength: "20000", "aria-label": `Answer to: ${row.user.slice(0, 80)}` });
  text.value = row.assistant;
  return h("form", { class: "card", onsubmit: guard(async (event) => {
    event.preventDefault();
    await send("PUT", `${url}/${encodeURIComponent(row.id)}`, { assistant: text.value });
    say(text.value.trim() ? "Kept. It becomes a row when you make the rows again." : "Taken back.", "good");
  }) }, h("p", { class: "quoted" }, row.user),
    row.plain && h("details", {}, h("summary", {}, "The plain answer you got"), h("div", { class: "quoted quiet" }, row.plain)),
    row.why && h("p", { class: "quiet" }, `A model's answer was refused: ${row.why}.`),
    text, h("p", { class: "row" }, h("button", { class: "second small" }, "Keep this answer")));
}

async function load() {
  const { discovered, report, awaiting } = await get(url);
  $("training").hidden = !discovered;
  $("training-state").textContent = report
    ? `${count(report.train.rows, "row")} to train on, ${report.eval.rows} held out, ${count(awaiting.length, "question")} waiting for an answer in this persona's voice.`
    : "No rows have been made yet.";
  $("waiting").hidden = !awaiting.length;
  $("awaiting").replaceChildren(...awaiting.map(card));
}

$("prepare").addEventListener("click", guard(async () => {
  $("prepare").disabled = true;
  try {
    const { job } = await send("POST", "/api/training");
    await followJob(job);
    await load();
    say("The rows were made.", "good");
  } finally { $("prepare").disabled = false; }
}));
guard(load)();
