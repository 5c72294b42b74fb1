import { stream } from "./api.js";

/** Follow a job to its end; resolves when it is done, throws what went wrong. */
export async function followJob(id, show) {
  let last = null;
  await stream("GET", `/api/jobs/${id}/events`, null, (_name, job) => { last = job; show(job); });
  if (!last || last.state !== "done") throw new Error((last && last.problem) || "The work broke off; try again.");
}
