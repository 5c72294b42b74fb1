// On every page: a job that was begun on another one, or before a reload, is in sight again, with its question and its end.
import { get } from "./api.js";
import { h } from "./dom.js";
import { followJob } from "./jobs.js";

const jobs = await get("/api/jobs").catch(() => []);
for (const job of jobs) {
  followJob(job.id).then(() => "It is done; ", (error) => `${error.message} `).then((text) => {
    const again = h("button", { type: "button", class: "second small", onclick: () => location.reload() }, "Show this page anew");
    document.querySelector("header").after(h("div", { class: "job", role: "status" }, text, again));
  });
}
