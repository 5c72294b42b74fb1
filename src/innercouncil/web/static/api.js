// Talks to the server this page came from, and to nobody else.

async function answer(response) {
  if (response.status === 204) return null;
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(data.error || `The server answered ${response.status}.`);
  return data;
}

async function call(method, path, options) {
  let response;
  try { response = await fetch(path, { method, ...options }); } catch { throw new Error("innercouncil does not answer; is it still running?"); }
  return response;
}

export const get = async (path) => answer(await call("GET", path));
export const send = async (method, path, body = {}) =>
  answer(await call(method, path, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }));
export const remove = async (path) => answer(await call("DELETE", path));
export const upload = async (path, file) =>
  answer(await call("POST", path, { headers: { "Content-Type": "application/octet-stream" }, body: file }));

/** Server-sent events of a POST or GET: handle(name, data) for each, until the end or until `signal` is aborted. */
export async function stream(method, path, body, handle, signal) {
  const options = body ? { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
  const response = await call(method, path, { ...options, signal });
  if (!response.ok) return answer(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return null;
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      // Not by a pattern: to one, a line also ends at U+2028, which a text may hold.
      const lines = block.split("\n"), field = (start) => lines.find((line) => line.startsWith(start))?.slice(start.length);
      const name = field("event: "), data = field("data: ");
      if (name && data) handle(name, JSON.parse(data));
    }
  }
}

export async function markdown(node, text) {
  const { html } = await send("POST", "/api/markdown", { text });
  node.classList.remove("live");
  node.innerHTML = html;
}
