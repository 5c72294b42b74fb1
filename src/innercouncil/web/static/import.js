import { $, h, say, guard } from "./dom.js";
import { upload } from "./api.js";
import { followJob } from "./jobs.js";

const STAGES = [["read", "Reading the export"], ["label", "Labelling your messages"], ["cluster", "Looking for modes"], ["personas", "Writing personas"], ["report", "Drawing the report"]];
const bars = new Map();

const start = guard(async (file) => {
  if (!file) return;
  $("notices").replaceChildren();
  $("file").disabled = true;
  $("outcome").textContent = `Taking in ${file.name} …`;
  $("stages").replaceChildren(...STAGES.map(([key, title]) => {
    const bar = h("progress", { max: 1, value: 0, "aria-label": title });
    bars.set(key, bar);
    return h("li", {}, title, bar);
  }));
  try {
    const { job } = await upload(`/api/imports?${new URLSearchParams({ filename: file.name, model: $("model").value, budget: $("budget").value })}`, file);
    await followJob(job, (j) => {
      const at = STAGES.findIndex(([key]) => key === j.stage);
      STAGES.forEach(([key], i) => { if (i < at) bars.get(key).value = 1; });
      if (at >= 0) bars.get(j.stage).value = j.done / j.total;
      if (j.title) $("outcome").textContent = `${j.title} …${at < 0 ? ` ${Math.round((100 * j.done) / j.total)}%` : ""}${j.note ? ` (${j.note})` : ""}`;
    });
    location.href = "/personas";
  } catch (error) {
    $("outcome").textContent = "";
    say(error);
  } finally { $("file").disabled = false; $("file").value = ""; }
});

$("file").addEventListener("change", () => start($("file").files[0]));
for (const name of ["dragover", "dragleave", "drop"]) $("drop").addEventListener(name, (event) => {
  event.preventDefault();
  $("drop").classList.toggle("over", name === "dragover");
  if (name === "drop") start(event.dataTransfer.files[0]);
});
