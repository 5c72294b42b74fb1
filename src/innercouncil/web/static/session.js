import { $, guard, unsay } from "./dom.js";
import { send } from "./api.js";
import { SessionView, lost } from "./view.js";

const id = document.body.dataset.key;
const stoppable = (on) => { $("stop").hidden = !on; };
const view = new SessionView($("session"), {
  onPhase: () => stoppable(true), // phases are told of a session under way only
  onFinished: (status) => { stoppable(false); view.offer(status); },
  onRetry: async (seat) => { await send("POST", `/api/sessions/${id}/retry`, { seat }); location.href = `/?session=${id}`; },
});
$("stop").addEventListener("click", guard(() => { unsay(); return send("POST", `/api/sessions/${id}/stop`); }));
guard(() => view.watch(id).catch(lost).finally(() => stoppable(false)))();
