import { remove, send, stream } from "./api.js";
import { ask, h } from "./dom.js";

/** Follow a job to its end in a strip under the header, and put its questions to the person; resolves when it is done, throws what went wrong. */
export async function followJob(id, show = () => {}) {
  const strip = h("div", { class: "job", role: "status" });
  let last = null, asked = "", dialog = null;
  const bar = h("progress", { max: 1, value: 0, "aria-label": "How far it is" }), text = h("span", {});
  const stop = h("button", { type: "button", class: "second small", onclick: () => { stop.disabled = true; remove(`/api/jobs/${id}`).catch(() => {}); } }, "Cancel");
  strip.append(bar, text, stop);
  document.querySelector("header").after(strip);
  try {
    await stream("GET", `/api/jobs/${id}/events`, null, (_name, job) => {
      last = job;
      bar.value = job.done / job.total;
      text.textContent = `${job.title || "Working"} … ${Math.round((100 * job.done) / job.total)}%${job.note ? ` (${job.note})` : ""}`;
      stop.hidden = !job.stoppable;
      if (job.question !== asked) {
        asked = job.question;
        if (dialog) dialog.close();  // answered in another window
        if (asked) {
          const question = asked;
          ask(question, "Go on").then((yes) => question === asked && send("POST", `/api/jobs/${id}/answer`, { yes: Boolean(yes) })).catch(() => {});
          dialog = document.body.lastElementChild;
        }
      }
      show(job);
    });
  } finally { strip.remove(); }
  if (!last || last.state !== "done") throw new Error((last && last.problem) || "The work broke off; try again.");
}
