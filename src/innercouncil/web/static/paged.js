// Lists that come page by page. How many rows are shown stands in the address, so that the way back leads to them.

const STEP = 30, MOST = 200;

/** What the address says, without the number of rows. */
export function given() {
  const all = new URLSearchParams(location.search);
  all.delete("shown");
  return all;
}

/** `page(limit, before)` gets a page; `draw(page, more)` shows it, after the rows there are or instead of them. */
export function paged(button, page, draw) {
  let next = null, rows = 0, asked = 0;

  async function load(from, count) {
    const mine = ++asked; // of answers that overtake each other the one asked for last counts
    button.disabled = true;
    try {
      let got = { next: from ? next : null }, all = [];
      do {
        got = await page(Math.min(MOST, count - all.length), got.next);
        all = all.concat(got.sessions);
      } while (got.next && all.length < count);
      if (mine !== asked) return;
      [next, rows] = [got.next, from + all.length];
      button.hidden = !next;
      if (from) history.replaceState(null, "", `?${new URLSearchParams([...given(), ["shown", rows]])}`);
      draw({ ...got, sessions: all }, from > 0);
    } finally { if (mine === asked) button.disabled = false; }
  }

  return {
    /** As many rows as the address asks for. */
    again: () => load(0, Math.max(STEP, Number(new URLSearchParams(location.search).get("shown")) || 0)),
    more: () => load(rows, STEP),
  };
}
