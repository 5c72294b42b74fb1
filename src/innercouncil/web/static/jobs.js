import { stream, send } from "./api.js";
import { ask } from "./dom.js";

/** Follow a job to its end, and put its questions to the person; resolves when it is done, throws what went wrong. */
export async function followJob(id, show) {
  let last = null, asked = "";
  await stream("GET", `/api/jobs/${id}/events`, null, (_name, job) => {
    last = job;
    if (job.question && job.question !== asked) ask(job.question, "Go on").then((yes) => send("POST", `/api/jobs/${id}/answer`, { yes: Boolean(yes) })).catch(() => {});
    asked = job.question;
    show(job);
  });
  if (!last || last.state !== "done") throw new Error((last && last.problem) || "The work broke off; try again.");
}
