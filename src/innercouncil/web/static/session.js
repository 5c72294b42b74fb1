import { $, guard } from "./dom.js";
import { get, send, stream } from "./api.js";
import { SessionView } from "./view.js";

const id = document.body.dataset.key;
const view = new SessionView($("session"), {
  onFinished: (status) => view.offer(status),
  onRetry: async (seat) => { await send("POST", `/api/sessions/${id}/retry`, { seat }); location.href = `/?session=${id}`; },
});
guard(async () => {
  view.votes = (await get(`/api/sessions/${id}`)).votes;
  await stream("GET", `/api/sessions/${id}/events`, null, (name, data) => view.handle(name, data));
})();
