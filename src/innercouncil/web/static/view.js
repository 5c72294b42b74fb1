// A session on the page: fed with events, live or from the past.
import { $, h, ask as question, guard, say, unsay } from "./dom.js";
import { get, send, stream, remove, markdown } from "./api.js";
import { table } from "./figures.js";

const WORDS = { answers: "The workers answer", revision: "The workers revise", ballots: "The workers vote", tally: "The votes are counted", synthesis: "The final answer is written" };
const PARTS = { council: "", alone: "Baseline: the synthesizer alone", samples: "Baseline: plain samples of the model" };

/** Say that a session is not there, if that is what went wrong. */
export function lost(error) {
  if (error.status !== 404) throw error;
  unsay();
  $("notices").prepend(h("p", { class: "notice bad", role: "alert" }, "There is no such session, or no longer. ", h("a", { href: "/sessions" }, "Sessions"), " shows all there are."));
}

export class SessionView {
  constructor(root, { onPhase = () => {}, onFinished = () => {}, onRetry = () => {} } = {}) {
    Object.assign(this, { root, onPhase, onFinished, onRetry });
    this.reset();
  }

  reset() {
    this.id = null; this.council = null; this.cards = new Map(); this.answers = new Map(); this.ballots = []; this.votes = [];
    this.tally = null; this.finals = {}; this.sources = null; this.samples = null; this.status = null;
    this.question = h("p", { class: "quoted" });
    this.facts = h("p", { class: "quiet" });
    this.phase = h("p", { class: "quiet", "aria-live": "polite" });
    this.grid = h("div", { class: "answers" });
    this.voting = h("section", { class: "panel", "aria-label": "Votes", hidden: true });
    this.final = h("section", { class: "panel final", "aria-label": "Final answer", hidden: true });
    this.provenance = h("details", { class: "panel", hidden: true });
    this.baselines = h("div", {});
    this.mine = h("section", { class: "panel", "aria-label": "Your vote", hidden: true });
    this.actions = h("p", { class: "row" });
    this.root.replaceChildren(this.question, this.facts, this.phase, this.final, this.provenance, this.grid, this.voting, this.mine, this.baselines, this.actions);
  }

  /** Show a session from its beginning to its end, or until `signal` is aborted. */
  async watch(id, signal) {
    this.reset();
    this.id = id;
    try {
      const record = await get(`/api/sessions/${id}`);
      if (signal?.aborted) return;
      this.votes = record.votes;
      await stream("GET", `/api/sessions/${id}/events`, null, (name, data) => { if (!signal?.aborted) this.handle(name, data); }, signal);
    } catch (error) {
      if (signal?.aborted) return;
      throw error.gone && this.council ? new Error(`${error.message} Start it again if not, and reload this page: what was finished comes back, and Resume goes on.`) : error;
    } finally {
      if (!signal?.aborted && !this.status) this.phase.textContent = "";
    }
  }

  /** Seats whose answers can be voted for. */
  standing() {
    return [...this.answers.values()].filter((a) => ["ok", "cut"].includes(a.status)).map((a) => a.seat).sort((a, b) => a - b);
  }

  /** Whether names are hidden until the vote; where there is nothing to choose from there will be none. */
  get blind() {
    return this.council.options.blind && !this.votes.length && !(this.status === "done" && this.standing().length < 2);
  }

  name(seat) {
    if (this.blind) return `Answer ${seat + 1}`;
    return this.council.workers.find((w) => w.seat === seat)?.name ?? `Seat ${seat + 1}`;
  }

  handle(event, data) {
    if (event === "started") { this.id = data.session; this.council = data.council; this.question.textContent = data.council.question; this.describe(); for (const w of data.council.workers) this.slot("council", w.seat, 0); }
    if (event === "phase") { this.phase.textContent = [PARTS[data.part], WORDS[data.name] + " …"].filter(Boolean).join(": "); this.onPhase(); }
    if (event === "answer_delta") this.slot(data.part, data.seat, data.round).text.append(data.text);
    if (event === "answered") this.answered(data.answer);
    if (event === "voted" && data.ballot.part === "council") { this.ballots.push(data.ballot); this.drawVotes(); }
    if (event === "tallied" && data.tally.part === "council") { this.tally = data.tally; this.drawVotes(); }
    if (event === "synthesis_delta") this.finalSlot(data.part).append(data.text);
    if (event === "synthesised") this.synthesised(data.synthesis);
    if (event === "finished") this.finished(data);
    if (event === "problem") say(data.error);
  }

  describe() {
    const c = this.council, o = c.options;
    const facts = [`Workers: ${c.worker_model}`, `synthesizer: ${c.synthesizer_model}`, c.history.length && `follow-up, ${c.history.length} earlier`, ...c.attachments.map((a) => `with ${a.name}`), o.rounds && "one revision", o.seed && `seed ${o.seed}`];
    this.facts.textContent = facts.filter(Boolean).join(" · ");
  }

  box(part) {
    if (part === "council") return this.grid;
    this.samples ??= h("div", { class: "answers" });
    if (!this.samples.parentNode) this.baseline("samples").append(this.samples);
    return this.samples;
  }

  baseline(part) {
    const id = `part-${part}`;
    let found = this.baselines.querySelector(`#${id}`);
    if (!found) { found = h("details", { class: "panel", id }, h("summary", {}, PARTS[part])); this.baselines.append(found); }
    return found;
  }

  slot(part, seat, round) {
    const key = `${part}/${seat}`;
    let slot = this.cards.get(key);
    if (!slot) {
      const title = h("h3", {}, part === "council" ? this.name(seat) : `Sample ${seat + 1}`);
      const text = h("div", { class: "answer-text live scroll", tabindex: "0", role: "group", "aria-label": "Answer" });
      const foot = h("footer", { class: "quiet" });
      slot = { card: h("article", { class: "card", seat }, title, text, foot), title, text, foot, round: 0 };
      this.cards.set(key, slot);
      this.box(part).append(slot.card);
    }
    if (round > slot.round) { slot.round = round; slot.text.replaceChildren(); slot.text.classList.add("live"); }
    return slot;
  }

  answered(answer) {
    const slot = this.slot(answer.part, answer.seat, answer.round);
    if (answer.part === "council") this.answers.set(answer.seat, answer);
    const seconds = ((answer.timing.finished - answer.timing.started) / 1000).toFixed(1);
    const facts = [`${seconds} s`, answer.usage && `${answer.usage.completion_tokens} tokens`, answer.round ? "revised" : ""];
    slot.foot.replaceChildren(facts.filter(Boolean).join(" · "));
    if (answer.problem) slot.foot.append(h("p", { class: answer.status === "cut" ? "quiet" : "bad" }, answer.problem));
    if (answer.appeals.length) slot.foot.append(h("p", { class: "bad" }, `It speaks to the judges; withheld from them: "${answer.appeals.join(" ")}"`));
    if (!["ok", "cut"].includes(answer.status) && answer.part === "council")
      slot.foot.append(h("button", { class: "second small", type: "button", onclick: guard(() => this.onRetry(answer.seat)) }, "Retry this worker"));
    slot.text.textContent = answer.text;
    if (answer.text) markdown(slot.text, answer.text).catch(() => {});
  }

  drawVotes() {
    this.voting.hidden = false;
    const seats = this.standing();
    const rows = this.ballots.map((b) => [h("span", { title: "Saw: " + b.shown.map((s) => this.name(s)).join(", ") }, this.name(b.voter)),
      ...seats.map((s) => (s === b.voter ? "–" : b.ranking.includes(s) ? String(b.ranking.indexOf(s) + 1) : b.abstained ? "" : "last")),
      h("span", { class: "why" }, b.abstained ? `Abstained: ${b.abstained}` : b.reason)]);
    const parts = [h("h2", {}, "Votes")];
    if (this.tally) {
      const t = this.tally;
      if (t.note) parts.push(h("p", {}, t.note));
      if (Object.keys(t.choices).length) parts.push(h("p", {}, Object.entries(t.choices).map(([c, n]) => `${c}: ${n}`).join(" · ")));
      parts.push(h("div", { class: "bars" }, t.standings.map((s) => {
        const fill = h("div", { class: "fill", seat: s.seat });
        fill.style.width = `${100 * s.score}%`;
        const marks = [t.winners.includes(s.seat) && (t.winners.length > 1 ? "tied first" : "winner"), t.dissent === s.seat && !t.winners.includes(s.seat) && "dissent", s.choice].filter(Boolean);
        return h("div", { class: "bar" }, h("span", {}, this.name(s.seat), marks.map((m) => h("span", { class: "badge" }, m))),
          h("div", { class: "track", role: "img", "aria-label": `Score ${s.score.toFixed(2)}` }, fill), h("span", {}, s.score.toFixed(2)));
      })));
    }
    if (rows.length) parts.push(h("details", {}, h("summary", {}, "Ballots"), table("Places given by each voter", ["Voter", ...seats.map((s) => this.name(s)), "Why"], rows),
      h("p", { class: "quiet" }, "Nobody ranks the own answer. Names are hidden from voters, and each sees the others in another order (shown when you point at the voter).")));
    this.voting.replaceChildren(...parts);
  }

  finalSlot(part) {
    if (!this.finals[part]) {
      const text = h("div", { class: "answer-text live" });
      this.finals[part] = text;
      if (part === "council") { this.final.hidden = false; this.final.replaceChildren(h("h2", {}, "The council's answer"), text); }
      else this.baseline(part).append(h("h3", {}, "Answer"), text);
    }
    return this.finals[part];
  }

  synthesised(s) {
    const text = this.finalSlot(s.part);
    text.textContent = s.text;
    if (s.text) markdown(text, s.text).catch(() => {});
    if (s.problem && s.status !== "cut") text.before(h("p", { class: "bad" }, s.problem));
    if (s.part === "council") this.drawProvenance(s);
  }

  drawProvenance(s) {
    this.provenance.hidden = false;
    this.sources = s;
    const lines = s.sources.map((x) => h("p", { class: x.seats.length ? "source" : "source own", seat: x.seats.length ? x.seats[0] : undefined }, x.text,
      x.seats.length ? x.seats.map((seat) => h("span", { class: "who", seat }, this.name(seat))) : h("span", { class: "who" }, "added by the synthesis")));
    const own = s.sources.filter((x) => !x.seats.length).length;
    const dissent = this.tally && this.tally.dissent !== null && !this.tally.winners.includes(this.tally.dissent) ? this.answers.get(this.tally.dissent) : null;
    this.provenance.replaceChildren(h("summary", {}, `Where it comes from: ${s.sources.length} sentence${s.sources.length === 1 ? "" : "s"}, ${own} added by the synthesis`), ...lines,
      dissent ? h("p", {}, h("strong", {}, `Strongest dissent: ${this.name(dissent.seat)}`)) : h("p", { class: "quiet" }, "No dissent stood out."),
      dissent ? h("div", { class: "quoted" }, dissent.text) : "");
  }

  redraw() {
    for (const [key, slot] of this.cards) if (key.startsWith("council/")) slot.title.textContent = this.name(Number(key.split("/")[1]));
    if (this.tally || this.ballots.length) this.drawVotes();
    if (this.sources) this.drawProvenance(this.sources);
  }

  finished({ status, problem }) {
    this.status = status;
    if (this.council.options.blind) this.redraw();
    this.phase.textContent = { done: "", stopped: "Stopped. ", failed: "Not finished. ", running: "It runs in another innercouncil process; reload to see what has come, or resume it if that process has ended." }[status] + (problem || "");
    this.phase.className = status === "failed" ? "bad" : "quiet";
    if (this.answers.size > 1) this.drawMine();
    this.onFinished(status);
  }

  drawMine() {
    const seats = this.standing();
    if (seats.length < 2) return;
    this.mine.hidden = false;
    const last = this.votes.at(-1);
    const place = (seat) => (last ? last.tiers.findIndex((t) => t.includes(seat)) + 1 || seats.length : 1);
    const rows = seats.map((seat) => h("label", {}, h("select", { "data-seat": String(seat) },
      seats.map((_, i) => h("option", { value: String(i + 1), selected: place(seat) === i + 1 }, `${i + 1}.`))), ` ${this.name(seat)}`));
    const form = h("form", {}, h("p", { class: "quiet" }, "Which answers helped you most? Equal places are ties."), rows,
      h("p", { class: "row" }, h("button", { class: "second" }, last ? "Vote again" : "Vote")));
    form.addEventListener("submit", guard(async (event) => {
      event.preventDefault();
      const tiers = seats.map((_, i) => [...form.querySelectorAll("select")].filter((x) => x.value === String(i + 1)).map((x) => Number(x.dataset.seat))).filter((t) => t.length);
      const vote = await send("POST", `/api/sessions/${this.id}/votes`, { tiers, blind: this.blind });
      this.votes.push(vote);
      this.redraw();
      this.drawMine();
      say("Your vote is kept.", "good");
    }));
    this.mine.replaceChildren(h("h2", {}, "Your vote"), form);
  }

  offer(status) {
    const again = guard(async () => {
      const { personas } = await get("/api/personas");
      const boxes = personas.map((p) => h("label", {}, h("input", { type: "checkbox", value: p.persona.slug, checked: p.persona.enabled }), " ", p.persona.version.card.name));
      const dialog = h("dialog", {}, h("form", { method: "dialog" }, h("h2", {}, "Ask again with"), boxes, h("p", { class: "row" }, h("button", { value: "yes" }, "Ask again"), h("button", { value: "no", class: "second" }, "Cancel"))));
      dialog.addEventListener("close", guard(async () => {
        const slugs = boxes.map((b) => b.firstChild).filter((b) => b.checked).map((b) => b.value);
        dialog.remove();
        if (dialog.returnValue !== "yes") return;
        const { id } = await send("POST", `/api/sessions/${this.id}/replay`, { personas: slugs });
        location.href = `/?session=${id}`;
      }));
      document.body.append(dialog);
      dialog.showModal();
    });
    this.actions.replaceChildren(
      status === "done" ? h("a", { class: "button second", href: `/?parent=${this.id}` }, "Ask a follow-up") : h("button", { class: "second", onclick: guard(async () => { await send("POST", `/api/sessions/${this.id}/resume`); location.href = `/?session=${this.id}`; }) }, "Resume"),
      h("button", { class: "second", onclick: again }, "Ask again with other personas"),
      h("a", { class: "button second", href: `/api/sessions/${this.id}/export` }, "Export"),
      h("button", { class: "second", onclick: guard(async () => { if (await question("Delete this session, and those that follow up on it and quote it, for good?", "Delete")) { await remove(`/api/sessions/${this.id}`); location.href = "/sessions"; } }) }, "Delete"));
  }
}
