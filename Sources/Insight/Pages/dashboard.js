"use strict";
// Asks /v1/stats once a second and /v1/stats/series now and then, and draws what they say. No library, no build step.

const POLL_MS = 1000, SERIES_MS = 10000, RETRY_MS_MAX = 10000, RECENT_S = 300, TYPES_DRAWN = 5, TYPE_ROWS = 100;
const RATE_WINDOW_MS = 10000;
const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hour12: false });

// Words for numbers

const text = (id, value) => { const node = byId(id); if (node.textContent !== value) node.textContent = value; };
const known = (value, say) => (value === null || value === undefined ? "–" : say(value));
const count = (value) => known(value, (n) => (Math.abs(n) >= 1e10 ? short.format(n) : whole.format(n)));
const rate = (value) => known(value, (n) => (n === 0 ? "0" : n < 10 ? n.toFixed(1) : n < 1e6 ? whole.format(n) : short.format(n)));
const millis = (value) => known(value, (n) => (n < 1000 ? `${n < 10 ? n.toFixed(1) : Math.round(n)} ms` : seconds(n / 1000)));
function seconds(n) {
  if (n < 10) return `${n.toFixed(1)} s`;
  if (n < 120) return `${Math.round(n)} s`;
  if (n < 7200) return `${Math.floor(n / 60)} min`;
  if (n < 172800) return `${Math.floor(n / 3600)} h`;
  return `${Math.floor(n / 86400)} d`;
}
function bytes(n) {
  let unit = 0;
  while (n >= 1000 && unit < 5) { n /= 1000; unit += 1; }
  return `${n < 10 && unit > 0 ? n.toFixed(1) : Math.round(n)} ${["B", "kB", "MB", "GB", "TB", "PB"][unit]}`;
}

// Drawing

function svg(name, attributes, parent) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

/** The smallest of 1, 2, 5 times a power of ten that reaches `value` in at most `steps` steps. */
function niceStep(value, steps) {
  const raw = Math.max(value, 1) / steps, power = 10 ** Math.floor(Math.log10(raw));
  return Math.max(1, power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999));
}

/** Lines over a common x axis. `lines`: arrays of numbers or null; `ticks`: [{ at: 0…1, label }]. */
function draw(figure, { lines, ticks, isArea, label, marked }) {
  const width = figure.clientWidth, height = figure.clientHeight;
  if (width < 40 || height < 40) return;
  const high = Math.max(1, ...lines.flat().filter((value) => value !== null));
  const rows = height > 200 ? 4 : 3, step = niceStep(high, rows), top = Math.ceil(high / step) * step;
  const left = 9 + 7 * Math.max(...[...Array(rows + 1).keys()].map((row) => short.format(row * step).length));
  const box = { left, right: width - 6, top: 8, bottom: height - 20 };
  const x = (index, of) => box.left + (box.right - box.left) * (of > 1 ? index / (of - 1) : 1);
  const y = (value) => box.bottom - (box.bottom - box.top) * value / top;
  const image = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (let value = 0; value <= top + step / 2; value += step) {
    svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y(value), y2: y(value) }, image);
    svg("text", { x: box.left - 7, y: y(value) + 4, "text-anchor": "end" }, image).textContent = short.format(value);
  }
  for (const tick of ticks) {
    const anchor = tick.at < 0.04 ? "start" : tick.at > 0.96 ? "end" : "middle";
    svg("text", { x: x(tick.at, 2), y: height - 4, "text-anchor": anchor }, image).textContent = tick.label;
  }
  lines.forEach((values, number) => {
    for (const run of runs(values)) {
      const points = run.map(([index, value]) => `${x(index, values.length).toFixed(1)} ${y(value).toFixed(1)}`);
      const first = x(run[0][0], values.length).toFixed(1), last = x(run.at(-1)[0], values.length).toFixed(1);
      if (isArea) svg("path", { class: "area", d: `M${first} ${box.bottom}L${points.join("L")}L${last} ${box.bottom}Z` }, image);
      svg("path", { class: `line s${number}`, d: `M${points.join("L")}${run.length === 1 ? "h.01" : ""}` }, image);
    }
  });
  if (marked !== undefined) svg("line", { class: "cursor", x1: x(marked, lines[0].length), x2: x(marked, lines[0].length), y1: box.top, y2: box.bottom }, image);
  figure.replaceChildren(image);
  figure.plot = box;
}

/** The stretches without null, as [index, value]. */
function runs(values) {
  const found = [];
  values.forEach((value, index) => {
    if (value === null) return;
    if (index === 0 || values[index - 1] === null || found.length === 0) found.push([]);
    found.at(-1).push([index, value]);
  });
  return found;
}

// State

let stats = null, series = [], failures = 0, pollTimer = 0, marked, isAsking = false, seriesAt = -Infinity;
const typeHistory = new Map();

function typeRate(type, total, now) {
  const seen = typeHistory.get(type) ?? [];
  if (seen.length > 0 && seen.at(-1).total > total) seen.length = 0;
  seen.push({ total, now });
  while (seen.length > 2 && seen[1].now <= now - RATE_WINDOW_MS) seen.shift();
  typeHistory.set(type, seen);
  const span = now - seen[0].now;
  return span > 0 ? (total - seen[0].total) * 1000 / span : null;
}

// Parts of the page

function showStats() {
  const { totals, rates, latency, analytics, database, node } = stats;
  text("node", `${node.name} · ${node.version} · up ${seconds(node.uptime_s)}`);
  text("rate", rate(rates["1s"]));
  for (const name of ["1m", "5m", "15m"]) text(`rate-${name}`, rate(rates[name]));
  for (const name of ["received", "stored", "duplicates", "rejected", "shed"]) text(`total-${name}`, count(totals[name]));
  byId("tile-rejected").className = totals.rejected > 0 ? "warn" : "";
  byId("tile-shed").className = totals.shed > 0 ? "bad" : "";
  text("total-bytes", bytes(totals.bytes));
  text("latency-p50", millis(latency.p50_ms));
  text("latency-p99", millis(latency.p99_ms));
  text("lag-events", `${count(analytics.lag_events)} ${analytics.lag_events === 1 ? "event" : "events"}`);
  text("lag-seconds", analytics.lag_s > 0 ? seconds(analytics.lag_s) : "none");
  for (const name of ["ready", "leased", "scheduled", "dead"]) text(`jobs-${name}`, count(analytics.jobs[name]));
  byId("fact-dead").className = analytics.jobs.dead > 0 ? "bad" : "";
  text("database-state", `${database.state === "up" ? "Up" : "Away"}${database.kind === "embedded" ? ", embedded" : ""}`);
  byId("fact-database").className = database.state === "up" ? "" : "bad";
  text("database-version", database.version);
  showTypes();
  showWorkers();
  drawRate();
}

function cells(row, values) {
  values.forEach(([value, className], index) => {
    const cell = row.cells[index] ?? row.insertCell();
    if (cell.textContent !== value) cell.textContent = value;
    if (cell.className !== className) cell.className = className;
  });
}

function rows(body, wanted) {
  while (body.rows.length < wanted) body.insertRow();
  while (body.rows.length > wanted) body.deleteRow(-1);
}

function showTypes() {
  const body = byId("types"), now = performance.now(), shown = stats.types.slice(0, TYPE_ROWS);
  // The share of all: types beyond the first thousand are not listed, but counted.
  const all = Math.max(stats.totals.stored - stats.analytics.lag_events, stats.types.reduce((sum, type) => sum + type.count, 0), 1);
  text("types-count", stats.types_count > shown.length ? `${whole.format(shown.length)} of ${whole.format(stats.types_count)}` : whole.format(stats.types_count));
  rows(body, shown.length);
  shown.forEach((type, index) => {
    const row = body.rows[index], share = type.count / all;
    cells(row, [[type.type, "name"], [count(type.count), "number"]]);
    row.cells[0].title = type.type;
    const cell = row.cells[2] ?? row.insertCell();
    if (!cell.firstChild) {
      const bar = document.createElement("div");
      bar.className = "share";
      bar.append(document.createElement("i"), document.createElement("span"));
      cell.append(bar);
    }
    const [bar, label] = cell.firstChild.children;
    bar.style.setProperty("--share", `${(share * 100).toFixed(2)}%`);
    label.textContent = share >= 0.0005 || share === 0 ? `${(share * 100).toFixed(1)} %` : "< 0.1 %";
    const last = row.cells[3] ?? row.insertCell();
    last.className = "number";
    last.textContent = rate(typeRate(type.type, type.count, now));
  });
  if (typeHistory.size > 4 * TYPE_ROWS) typeHistory.clear();
}

function showWorkers() {
  const body = byId("workers");
  rows(body, stats.workers.length);
  stats.workers.forEach((worker, index) => {
    const isDown = ["down", "backoff", "dying"].includes(worker.state);
    const job = worker.job === null ? "–" : `${worker.kind ?? "job"} ${worker.job}${worker.job_age_s >= 1 ? `, ${seconds(worker.job_age_s)}` : ""}`;
    cells(body.rows[index], [
      [String(worker.slot), ""], [worker.state, isDown ? "bad" : ""], [job, "name"], [count(worker.jobs_done), "number"],
      [count(worker.restarts), worker.restarts > 0 ? "number wide warn" : "number wide"], [known(worker.age_s, seconds), "number"],
      [known(worker.rss_bytes, bytes), "number wide"],
    ]);
  });
}

function drawRate() {
  const values = stats.recent ?? [], shown = values.filter((value) => value !== null);
  const peak = shown.length > 0 ? Math.max(...shown) : 0;
  draw(byId("rate-chart"), {
    lines: [values], isArea: true,
    ticks: (byId("rate-chart").clientWidth < 460 ? [4, 2] : [5, 4, 3, 2, 1]).map((minutes) => ({ at: 1 - minutes / 5, label: `−${minutes} min` })).concat({ at: 1, label: "now" }),
    label: `Events per second over the last five minutes; now ${rate(stats.rates["1s"])}, at most ${rate(peak)}.`,
  });
}

function drawSeries() {
  const figure = byId("series-chart"), times = series[0]?.times ?? [];
  if (times.length === 0) return;
  const ticks = times.map((time, index) => ({ time: new Date(time), index }))
    .filter(({ time }) => time.getMinutes() % (figure.clientWidth < 460 ? 20 : 10) === 0)
    .map(({ time, index }) => ({ at: index / (times.length - 1), label: clock.format(time) }));
  draw(figure, {
    lines: series.map((line) => line.values), ticks, marked,
    label: `Events per minute over the last hour, by type: ${series.map((line) => `${line.type}, ${count(line.values.at(-1) ?? 0)} in the last minute`).join("; ")}.`,
  });
  const items = series.map((line, number) => {
    const item = document.createElement("li"), name = document.createElement("span"), value = document.createElement("b");
    const key = svg("svg", { width: 14, height: 8, viewBox: "0 0 14 8", "aria-hidden": "true" });
    svg("line", { class: `s${number}`, x1: 2, x2: 12, y1: 4, y2: 4 }, key);
    name.className = "name";
    name.textContent = name.title = line.type;
    value.textContent = count(line.values[marked ?? line.values.length - 1] ?? 0);
    item.append(key, name, value);
    return item;
  });
  const when = document.createElement("li");
  when.className = "quiet";
  when.textContent = marked === undefined ? "last minute" : `at ${clock.format(new Date(times[marked]))}`;
  byId("legend").replaceChildren(...items, when);
}

function show(view) {
  document.body.dataset.view = view;
  if (view === "stale") return;
  byId("empty").hidden = view !== "empty";
  byId("locked").hidden = view !== "locked";
  byId("dashboard").hidden = view !== "live";
}

function say(state, words, notice, isBad) {
  byId("status").dataset.state = state;
  text("status", words);
  byId("notice").hidden = !notice;
  byId("notice").className = isBad ? "bad" : "";
  text("notice", notice ?? "");
}

// Asking

async function ask(path) {
  const headers = { Accept: "application/json" }, key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(path, { cache: "no-store", headers, signal: AbortSignal.timeout(8000) });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  const isLocked = answer.status === 401 || problem.code === "insufficient_scope";
  throw Object.assign(new Error(problem.detail ?? `The server answered ${answer.status}.`), { isAnswer: true, isLocked });
}

async function askSeries() {
  const wanted = stats.types.slice(0, TYPES_DRAWN).map((type) => type.type);
  const answers = await Promise.all(wanted.map((type) => ask(`/v1/stats/series?metric=count&step=1m&type=${encodeURIComponent(type)}`)));
  // The minute that is not over would look like a fall; it is shown only while there is no other.
  const isNew = answers.every((answer) => answer.points.slice(0, -1).every((point) => point.value === null));
  series = answers.map((answer, index) => {
    const points = isNew ? answer.points : answer.points.slice(0, -1);
    // Minutes without events are null in the answer: here they are a count of none.
    return { type: wanted[index], times: points.map((point) => point.time), values: points.map((point) => point.value ?? 0) };
  });
  drawSeries();
}

async function poll() {
  clearTimeout(pollTimer);
  if (isAsking || document.hidden) return;
  isAsking = true;
  try {
    stats = await ask(`/v1/stats?recent=${RECENT_S}`);
    failures = 0;
    const isAway = stats.database.state !== "up";
    say(isAway ? "late" : "live", isAway ? "Database away" : "Live",
      isAway ? `The database cannot be reached. These numbers are from ${clock.format(new Date(Date.now() - 1000 * stats.database.stale_s))}.` : undefined);
    show(stats.totals.received + stats.totals.spooled > 0 ? "live" : "empty");
    showStats();
    if (stats.types.length > 0 && (performance.now() - seriesAt > SERIES_MS || series.length === 0)) {
      seriesAt = performance.now();
      askSeries().catch(() => { /* The next poll says what is wrong. */ });
    }
  } catch (error) {
    if (error.isLocked) {
      isAsking = false;
      say("locked", "Locked", sessionStorage.getItem("key") ? error.message : undefined, true);
      show("locked");
      byId("key").focus();
      return;
    }
    failures += 1;
    const words = error.isAnswer ? error.message : "The service cannot be reached.";
    say("lost", "Reconnecting", `${words} Trying again.${stats ? " The numbers below are the last ones known." : ""}`, true);
    show("stale");
  }
  isAsking = false;
  pollTimer = setTimeout(poll, failures > 0 ? Math.min(POLL_MS * 2 ** (failures - 1), RETRY_MS_MAX) : POLL_MS);
}

// What people do

text("command", `curl ${location.origin}/v1/events \\\n  -H 'Content-Type: application/json' \\\n  -d '{"type": "hello", "data": {"from": "me"}}'`);
byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(byId("command").textContent);
    text("copy", "Copied");
  } catch {
    // Without a secure origin there is no clipboard; the text can still be copied by hand.
    getSelection().selectAllChildren(byId("command"));
    text("copy", "Selected");
  }
  setTimeout(() => text("copy", "Copy"), 2000);
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", byId("key").value.trim());
  byId("key").value = "";
  poll();
});
byId("series-chart").addEventListener("pointermove", (event) => {
  const figure = event.currentTarget, box = figure.plot, length = series[0]?.values.length ?? 0;
  if (!box || length < 2) return;
  const share = (event.clientX - figure.getBoundingClientRect().left - box.left) / (box.right - box.left);
  marked = Math.round(Math.min(Math.max(share, 0), 1) * (length - 1));
  drawSeries();
});
byId("series-chart").addEventListener("pointerleave", () => { marked = undefined; drawSeries(); });
document.addEventListener("visibilitychange", () => { if (document.body.dataset.view !== "locked") poll(); });
new ResizeObserver(() => { if (stats) { drawRate(); drawSeries(); } }).observe(byId("dashboard"));
poll();
