// Small helpers. Everything a model or a file said goes in as text; the only HTML is what /api/markdown made safe.

export const $ = (id) => document.getElementById(id);

/** h("p", {class: "quiet", onclick: f}, "text", node…) */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "seat") node.style.setProperty("--seat", colour(value));
    else if (name in node && typeof value !== "string") node[name] = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/** A sentence of ours as nodes: what stands between backticks is code. */
export const prose = (text) => String(text).split(/`([^`]+)`/).map((part, i) => (i % 2 ? h("code", {}, part) : part));

export const colour = (seat) => `var(--p${seat % 6})`;
export const day = (iso) => new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));

/** Take back what was said of an earlier action; notices of the page itself stay. */
export const unsay = () => $("notices").querySelectorAll("[role]").forEach((notice) => notice.remove());

export function say(problem, kind = "bad") {
  const notices = $("notices");
  unsay();
  notices.prepend(h("p", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, prose(problem.message || problem)));
  notices.scrollIntoView({ block: "nearest" });
}

/** Run an async action and show what went wrong. */
export const guard = (action) => async (...given) => {
  try { return await action(...given); } catch (error) { say(error); }
};

export function ask(text, confirm, withName) {
  return new Promise((resolve) => {
    const input = withName === undefined ? null : h("input", { value: withName, "aria-label": "Name", maxlength: "80" });
    const dialog = h("dialog", {}, h("form", { method: "dialog" }, h("p", {}, text), input,
      h("p", { class: "row" }, h("button", { value: "yes" }, confirm), h("button", { value: "no", class: "second" }, "Cancel"))));
    dialog.addEventListener("close", () => { resolve(dialog.returnValue === "yes" ? (input ? input.value : true) : null); dialog.remove(); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
