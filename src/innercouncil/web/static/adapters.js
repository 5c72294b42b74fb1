import { $, h, guard } from "./dom.js";
import { get, stream } from "./api.js";
import { curves } from "./loss_chart.js";

const STATES = { running: "is being trained", interrupted: "was interrupted: the same command goes on", failed: "failed", done: "is done" };

function time(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function figures(e) {
  const speed = e.tokens_per_s ? `, ${Math.round(e.tokens_per_s)} tokens a second` : "", memory = e.memory ? `, ${(e.memory / 1e9).toFixed(2)} GB held` : "";
  return `step ${e.step} of ${e.steps}: loss ${e.loss.toFixed(3)}${speed}${memory}, ${time(e.left || 0)} left`;
}

function panel(run) {
  const bar = h("progress", { max: Math.max(run.steps, 1), value: run.step, "aria-label": `Training of ${run.slug}`, hidden: run.state === "done" });
  const line = h("p", { class: "figures" }), chart = h("div", {}), state = h("p", {}, h("strong", {}, run.slug), ` ${STATES[run.state]}. ${run.problem}`);
  const train = new Map(), held = new Map();
  const show = (_name, events) => {
    for (const e of events) {
      if (e.event === "step") { train.set(e.step, e.loss); bar.max = e.steps; bar.value = e.step; line.textContent = figures(e); }
      if (e.event === "eval" && e.step) held.set(e.step, e.eval_loss);
      if (e.event === "failed") state.textContent = `${run.slug} failed. ${e.text}`;
      if (e.event === "done") { state.replaceChildren(h("strong", {}, run.slug), " is done."); bar.hidden = true; }
    }
    if (train.size) chart.replaceChildren(curves(train, held));
  };
  stream("GET", `/api/tuning/${encodeURIComponent(run.slug)}/events`, null, show).catch(() => {});
  return h("section", { class: "panel", "aria-label": run.slug }, state, run.adapter ? h("p", { class: "quiet" }, `Whole adapter: ${run.adapter}`) : null, bar, line, chart);
}

guard(async () => {
  const { runs } = await get("/api/tuning");
  $("none").hidden = runs.length > 0;
  $("runs").replaceChildren(...runs.map(panel));
})();
