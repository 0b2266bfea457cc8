"use strict";
// The status page: asks this gate for its status once a second, keeps some minutes of it, and draws.
// Whatever comes from outside (names, SQL, notes) becomes text nodes and attributes, never markup.

const HISTORY_S = 300, POLL_MS = 1000, WINDOW_S = 10;
// Of the steps in which times are counted: how much wider each is than the one before, and the bound of the first.
const STEP = 1.15, SHORTEST_NS = 1000;
const SHOWN = { backends: 8, rows: 256, pins: 20, digests: 12, events: 60 };
// Statuses of the last seconds, and what happened between each two, of the last minutes.
const recent = [], points = [];
let paused = false, events = [], digests = [], polls = 0;

const $ = (id) => document.getElementById(id);
const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "style") Object.assign(node.style, value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined).map((child) =>
    child instanceof Node ? child : document.createTextNode(String(child))));
  return node;
};
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const put = (id, ...children) => $(id).replaceChildren(...children.flat());

// Numbers as people read them.
const count = (n) => Math.round(n).toLocaleString("en-US");
const rate = (n) => n === null ? "–" : n >= 100 || n === 0 ? count(n) : n.toFixed(1);
const time = (ns) => {
  if (ns === null || ns === undefined) return "–";
  if (ns < SHORTEST_NS) return "< 1 µs";
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
    if (ns >= size) return (ns / size).toFixed(ns / size < 10 ? 2 : ns / size < 100 ? 1 : 0) + " " + unit;
  }
};
const span = (ms) => {
  const s = Math.floor(ms / 1000);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s / 60) % 60 + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s / 3600) % 24 + " h";
};
const cut = (text, length) => text.length > length ? text.slice(0, length - 1) + "…" : text;

// What happened between two samples. Null where that cannot be told: the gate has started anew, or a core was silent.
const between = (a, b) => {
  const seconds = a && b ? (b.uptime_ms - a.uptime_ms) / 1000 : 0;
  const whole = a && b && a.cores_silent.join() === b.cores_silent.join();
  if (!(seconds > 0) || !whole) {
    return { perSecond: () => null, quantile: () => null, commands: () => null, seconds: 0 };
  }
  const perSecond = (name) => Math.max(0, (b.counters[name] || 0) - (a.counters[name] || 0)) / seconds;
  const quantile = (name, q) => {
    const [before, after] = [a, b].map((s) => s.latencies.find((l) => l.name === name));
    if (!before || !after) return null;
    const had = new Map(before.bounds_ns.map((bound, at) => [bound, before.counts[at]]));
    const steps = after.bounds_ns.map((bound, at) => [bound, after.counts[at] - (had.get(bound) || 0)]);
    const total = steps.reduce((sum, [, n]) => sum + Math.max(0, n), 0);
    let left = total * q;
    for (const [bound, n] of steps) {
      if (n > 0 && left <= n && bound <= SHORTEST_NS) return 0;
      if (n > 0 && left <= n) return bound / STEP + (bound - bound / STEP) * (left / n);
      left -= Math.max(0, n);
    }
    return null;
  };
  const commands = (backend) =>
    Math.max(0, sums(b).get(backend).commands - (sums(a).get(backend) || { commands: 0 }).commands) / seconds;
  return { perSecond, quantile, commands, seconds };
};

// The pools of all cores, by backend.
const sums = (status) => {
  const none = { quota: 0, open: 0, idle: 0, leased: 0, waiting: 0, commands: 0 };
  const all = new Map(status.backends.map((b) => [b.name, { ...none }]));
  for (const pool of status.pools) {
    const sum = all.get(pool.backend);
    if (sum) for (const key of Object.keys(sum)) sum[key] += pool[key];
  }
  return all;
};

const last = () => recent[recent.length - 1];

// A new status: what it adds to the history.
const handleStatus = (now) => {
  if (last() && now.uptime_ms < last().uptime_ms) recent.length = points.length = 0;
  const since = between(last(), now);
  points.push({ at: now.uptime_ms,
    primary: since.perSecond("commands_primary"), replica: since.perSecond("commands_replica"),
    local: since.perSecond("commands_local"), p50: since.quantile("backend", .5), p99: since.quantile("backend", .99),
    wait: since.quantile("wait", .99) });
  recent.push(now);
  while (recent[0].uptime_ms < now.uptime_ms - WINDOW_S * 1000 - 500) recent.shift();
  while (points[0].at < now.uptime_ms - HISTORY_S * 1000) points.shift();
};

const ERRORS = ["commands_refused", "waits_failed"];

const drawHead = (now) => {
  document.title = "Weir " + (now.listen[0] || "");
  put("where", el("b", {}, now.listen.join(" ")));
  const [word, tone] = now.draining ? ["draining", "warn"] : now.ready ? ["ready", "good"] : ["not ready", "bad"];
  $("state").className = "badge " + tone;
  put("state", word);
  const c = now.cluster;
  put("cluster", c ? (c.phase ? `${c.name}: ${c.phase}, epoch ${c.epoch}` : "no word from controllers yet") : "");
  const cores = now.cores === 1 ? "1 core" : `${now.cores} cores`;
  put("facts", `version ${now.version} · up ${span(now.uptime_ms)} · ${cores}`);
  put("heard", paused ? "paused" : "as of " + new Date().toTimeString().slice(0, 8));
  const troubles = [];
  if (now.cores_silent.length) {
    troubles.push(`no answer in time from core ${now.cores_silent.join(", ")}: its numbers are missing`);
  }
  if (!now.backends.some((b) => b.role === "primary" && b.health === "up")) {
    troubles.push("no primary: writes wait, then fail");
  }
  if (c && c.why) troubles.push("no controller answers, the last word holds: " + c.why);
  say(troubles.join("; "));
};

const say = (trouble) => {
  $("trouble").hidden = !trouble;
  put("trouble", trouble);
};

const drawTiles = (now, lately) => {
  const c = now.counters, sum = (names, of) => names.reduce((all, name) => all + of(name), 0);
  const per = (names) => lately.seconds ? sum(names, lately.perSecond) : null;
  const tile = (id, name, value, more, raw, tone) => el("div", { class: "tile" },
    el("div", { class: "name" }, name), el("div", { class: "value " + (tone || ""), id, "data-value": raw }, value),
    el("div", { class: "more" }, more));
  const reads = c.commands_replica + c.commands_primary;
  put("tiles",
    tile("commands", "Statements/s", rate(per(["commands"])), count(c.commands) + " in all", c.commands),
    tile("clients", "Clients", count(c.clients_open), now.clients_max ? "of " + count(now.clients_max) : "",
      c.clients_open),
    tile("p50", "Backend, median", time(lately.quantile("backend", .5)), `last ${WINDOW_S} s`),
    tile("p99", "Backend, 99 %", time(lately.quantile("backend", .99)), `last ${WINDOW_S} s`),
    tile("replicas", "On replicas", reads ? Math.round(c.commands_replica * 100 / reads) + " %" : "–",
      count(c.commands_replica) + " statements", c.commands_replica),
    tile("waiting", "Waiting now", count(c.waiting), count(c.waits) + " waits in all", c.waiting,
      c.waiting ? "warn" : ""),
    tile("pinned", "Pinned sessions", count(c.sessions_pinned), "", c.sessions_pinned),
    tile("errors", "Own errors/s", rate(per(ERRORS)), count(sum(ERRORS, (name) => c[name])) + " in all",
      sum(ERRORS, (name) => c[name]), per(ERRORS) > 0 ? "bad" : ""));
};

const drawTopology = (now, lately) => {
  const all = now.backends.filter((b) => b.health !== "gone");
  all.sort((a, b) => (b.role === "primary") - (a.role === "primary"));
  const shown = all.slice(0, SHOWN.backends), pools = sums(now), high = 76, width = 560;
  const height = Math.max(high, shown.length * high) + 4, middle = height / 2;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "the gate and its backends", style: { maxHeight: height * 1.25 + "px" } });
  const rates = shown.map((b) => lately.seconds ? lately.commands(b.name) : 0), most = Math.max(1, ...rates);
  shown.forEach((b, at) => {
    const y = at * high + high / 2 + 2, up = b.health === "up", primary = b.role === "primary";
    const tone = !up ? "var(--bad)" : primary ? "var(--blue)"
      : b.role === "replica" ? "var(--aqua)" : "var(--warn-mark)";
    const pool = pools.get(b.name);
    const lag = b.role !== "replica" ? "" : b.lag_ms === null ? "lag unknown" : `lag ${b.lag_ms} ms`;
    const share = b.read_share_permille ? `${b.read_share_permille / 10} % of reads` : "";
    const state = [b.role, up ? "" : b.health, lag, share];
    picture.append(
      svg("path", { d: `M118 ${middle} C190 ${middle} 170 ${y} 250 ${y}`, fill: "none", stroke: tone,
        "stroke-width": up ? 1.5 + 4.5 * rates[at] / most : 1.5, "stroke-dasharray": up ? null : "3 4", opacity: .75 }),
      svg("rect", { x: 250, y: y - 32, width: 308, height: 64, rx: 8, fill: "var(--card)", stroke: "var(--line)" }),
      svg("rect", { x: 250, y: y - 32, width: 5, height: 64, rx: 2, fill: tone }),
      svg("text", { x: 266, y: y - 13, class: "big" }, cut(b.name, 34)),
      svg("text", { x: 548, y: y - 13, "text-anchor": "end", class: "quiet" }, cut(b.zone ? `zone ${b.zone}` : "", 16)),
      svg("text", { x: 266, y: y + 5 }, cut(state.filter(Boolean).join(" · "), 50)),
      svg("text", { x: 266, y: y + 22, class: "quiet" },
        `${rate(lately.seconds ? rates[at] : null)}/s · ${pool.leased} of ${pool.quota} connections in use` +
        (pool.waiting ? ` · ${pool.waiting} wait` : "")),
      svg("title", {}, `${b.name} at ${b.address}${b.note ? ": " + b.note : ""}`));
  });
  picture.append(
    svg("rect", { x: 2, y: middle - 34, width: 116, height: 68, rx: 8, fill: "var(--soft)", stroke: "var(--line)" }),
    svg("text", { x: 60, y: middle - 12, "text-anchor": "middle", class: "big" }, "gate"),
    svg("text", { x: 60, y: middle + 6, "text-anchor": "middle" }, count(now.counters.clients_open) + " clients"),
    svg("text", { x: 60, y: middle + 23, "text-anchor": "middle", class: "quiet" },
      rate(lately.seconds ? lately.perSecond("commands") : null) + "/s"));
  const more = all.length - shown.length;
  put("topology", picture, more > 0 ? el("p", { class: "none" }, `and ${more} more, see below`) : []);
};

// Lines over the last minutes: series are [name, colour, key of a point, text of a value].
const plot = (id, series, log) => {
  const width = Math.max(320, $(id).clientWidth || 560), height = 132, left = 46, bottom = 16, top = 6;
  const end = points[points.length - 1].at, begin = points[0].at, length = Math.max(1, end - begin);
  const known = points.flatMap((point) => series.map(([, , key]) => point[key]))
    .filter((value) => value !== null && (!log || value > 0));
  const x = (point) => left + (point.at - begin) / length * (width - left - 6);
  const { low, high, ticks } = log ? decades(known) : steps(known);
  const part = log ? (v) => Math.log(v / low) / Math.log(high / low) : (v) => v / high;
  const y = (value) => height - bottom - part(Math.max(value, low)) * (height - bottom - top);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", height,
    "aria-label": series.map(([name]) => name).join(", ") });
  for (const tick of ticks) {
    const text = log ? time(tick).replace(/\.0+ /, " ") : count(tick);
    picture.append(svg("line", { x1: left, x2: width - 6, y1: y(tick), y2: y(tick), stroke: "var(--grid)" }),
      svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end", class: "quiet" }, text));
  }
  picture.append(svg("text", { x: left, y: height - 2, class: "quiet" }, span(length) + " ago"),
    svg("text", { x: width - 6, y: height - 2, "text-anchor": "end", class: "quiet" }, "now"));
  for (const [, colour, key] of series) {
    let d = "", pen = "M";
    for (const point of points) {
      if (point[key] !== null) d += `${pen}${x(point).toFixed(1)} ${y(point[key]).toFixed(1)}`;
      pen = point[key] === null ? "M" : "L";
    }
    picture.append(svg("path", { d, fill: "none", stroke: colour, "stroke-width": 1.75, "stroke-linejoin": "round" }));
  }
  const cursor = svg("line", { y1: top, y2: height - bottom, stroke: "var(--quiet)", visibility: "hidden" });
  const legend = el("div", { class: "legend" });
  const tell = (point) => legend.replaceChildren(...series.map(([name, colour, key, text]) => el("span", {},
    el("i", { class: "key", style: { background: colour } }), name + " ", el("b", {}, text(point[key])))));
  tell(points[points.length - 1]);
  picture.append(cursor);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect(), at = (event.clientX - box.left) * width / box.width;
    const nearest = points.reduce((best, point) => Math.abs(x(point) - at) < Math.abs(x(best) - at) ? point : best);
    fill(cursor, { x1: x(nearest), x2: x(nearest), visibility: "visible" }, []);
    tell(nearest);
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    tell(points[points.length - 1]);
  });
  put(id, picture, legend);
};

const decades = (known) => {
  const low = 10 ** Math.floor(Math.log10(Math.min(1e5, ...known)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(1e6, ...known)));
  const ticks = [];
  for (let tick = low; tick <= high; tick *= 10) ticks.push(tick);
  return { low, high, ticks };
};

const steps = (known) => {
  const most = Math.max(1, ...known), power = 10 ** Math.floor(Math.log10(most / 3 || 1));
  const step = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((size) => most / size <= 4) || most);
  const high = Math.ceil(most / step) * step, ticks = [];
  for (let tick = 0; tick <= high; tick += step) ticks.push(tick);
  return { low: 0, high, ticks };
};

const drawPlots = () => {
  plot("throughput", [["primary", "var(--blue)", "primary", rate], ["replicas", "var(--aqua)", "replica", rate],
    ["the gate itself", "var(--violet)", "local", rate]], false);
  plot("latency", [["backend p50", "var(--blue)", "p50", time], ["backend p99", "var(--orange)", "p99", time],
    ["wait for a connection p99", "var(--violet)", "wait", time]], true);
};

// Columns are [title, class, cell of a row].
const table = (columns, rows, none) => !rows.length ? el("p", { class: "none" }, none) : el("table", {},
  el("thead", {}, el("tr", {}, columns.map(([title, kind]) => el("th", { class: kind, scope: "col" }, title)))),
  el("tbody", {}, rows.map((row) => el("tr", {}, columns.map(([, kind, cell]) => {
    const what = cell(row);
    return el("td", { class: kind }, what instanceof Node ? what : what === null || what === undefined ? "–" : what);
  })))));

const toned = (text, tone) => el("span", { class: tone }, text);

const drawTables = (now, lately) => {
  put("backends", table([
    ["Backend", "stay", (b) => el("b", {}, b.name)], ["Address", "stay", (b) => b.address],
    ["Role", "", (b) => b.role === "unknown" ? toned("unknown", "warn") : b.role],
    ["Wanted", "", (b) => b.wanted || "–"],
    ["Health", "", (b) => toned(b.health, b.health === "up" ? "good" : "bad")],
    ["Lag", "n", (b) => b.role !== "replica" ? "–"
      : b.lag_ms === null ? toned("unknown", "warn") : `${count(b.lag_ms)} ms`],
    ["Weight", "n", (b) => b.weight], ["Reads", "n", (b) => `${b.read_share_permille / 10} %`],
    ["Version", "stay", (b) => b.version], ["Note", "text", (b) => b.note],
  ], now.backends.slice(0, SHOWN.rows), "There is none."));
  const bar = (pool) => {
    const width = (n) => ({ width: pool.quota ? Math.min(100, n * 100 / pool.quota) + "%" : "0" });
    return el("span", { class: "bar", title: `${pool.leased} leased, ${pool.idle} idle, of ${pool.quota}` },
      el("i", { style: { ...width(pool.leased), background: "var(--blue)" } }),
      el("i", { style: { ...width(pool.idle), background: "var(--aqua)", opacity: .55 } }));
  };
  put("pools", table([
    ["Backend", "stay", ([name]) => name], ["", "", ([, pool]) => bar(pool)],
    ["Leased", "n", ([, pool]) => count(pool.leased)], ["Idle", "n", ([, pool]) => count(pool.idle)],
    ["Limit", "n", ([, pool]) => count(pool.quota)],
    ["Waiting", "n", ([, pool]) => pool.waiting ? toned(count(pool.waiting), "warn") : "0"],
    ["Statements", "n", ([, pool]) => count(pool.commands)],
  ], [...sums(now)], "There is none."));
  const NAMES = { gate: "in the gate", wait: "waiting for a connection", backend: "in the backend" };
  put("times", table([
    ["", "", (l) => NAMES[l.name] || l.name],
    [`p50, last ${WINDOW_S} s`, "n", (l) => time(lately.quantile(l.name, .5))],
    ["p99", "n", (l) => time(lately.quantile(l.name, .99))], ["p99.9", "n", (l) => time(lately.quantile(l.name, .999))],
    ["p99 since the start", "n", (l) => l.count ? time(l.p99_ns) : "–"],
    ["longest", "n", (l) => l.count ? time(l.max_ns) : "–"],
  ], now.latencies, ""));
  put("pins", table([
    ["Connection", "n", (p) => p.connection_id], ["User", "text", (p) => p.user], ["Backend", "stay", (p) => p.backend],
    ["Reason", "text", (p) => p.reason], ["For", "n", (p) => span(p.age_ms)], ["Statement", "code", (p) => p.statement],
  ], now.pins.slice(0, SHOWN.pins), "No session keeps a connection for itself."));
  const more = now.pins.length - SHOWN.pins;
  if (more > 0) $("pins").append(el("p", { class: "none" }, `and ${more} more: SHOW WEIR PINS`));
  const shown = [...digests].sort((a, b) => b.total_time_us - a.total_time_us).slice(0, SHOWN.digests);
  const us = (key) => (d) => time(d[key] * 1000);
  put("digests", table([
    ["Statement", "code", (d) => cut(d.digest_text, 400)], ["Schema", "stay", (d) => d.schema_name],
    ["Time in all", "n", us("total_time_us")], ["Count", "n", (d) => count(d.count)],
    ["Errors", "n", (d) => d.errors ? toned(count(d.errors), "bad") : "0"],
    ["Rows sent", "n", (d) => count(d.rows_sent)],
    ["On replicas", "n", (d) => d.replica_percent + " %"],
    ["Backend p50", "n", us("backend_p50_us")], ["p99", "n", us("backend_p99_us")],
    ["Wait p99", "n", us("wait_p99_us")],
  ], shown, "Statements are not counted: set digests = true under [gate], and start again."));
};

const toneOf = (kind) => /trouble|began|refused|timed_out|broke|panic/.test(kind) ? "bad"
  : /epoch|drain|changed|reload/.test(kind) ? "warn" : "good";
const moment = (event) => Date.parse(event.time.replace(" ", "T") + "Z");

const drawEvents = () => {
  const newest = events.slice(-SHOWN.events).reverse();
  put("events", table([
    ["Time (UTC)", "stay", (e) => e.time.slice(0, 19)], ["", "stay", (e) => toned(e.kind, toneOf(e.kind))],
    ["", "text", (e) => el("span", {}, el("b", {}, e.subject), " ", e.text)],
  ], newest, "Nothing has happened yet."));
  if (!newest.length) return put("timeline", []);
  const end = Date.now(), begin = Math.min(moment(newest[newest.length - 1]), end - 60000), width = 560;
  const x = (at) => 4 + (Math.min(at, end) - begin) / (end - begin) * (width - 8);
  const picture = svg("svg", { viewBox: `0 0 ${width} 44`, role: "img", "aria-label": "when the last events happened" },
    svg("line", { x1: 4, x2: width - 4, y1: 18, y2: 18, stroke: "var(--line)" }),
    svg("text", { x: 4, y: 40, class: "quiet" }, "−" + span(end - begin)),
    svg("text", { x: width - 4, y: 40, "text-anchor": "end", class: "quiet" }, "now"));
  let lost = null;
  for (const event of [...newest].reverse()) {
    if (event.kind === "failover_began") lost = moment(event);
    if (event.kind === "failover_ended" && lost !== null) {
      const long = Math.max(3, x(moment(event)) - x(lost));
      picture.append(svg("rect", { x: x(lost), y: 11, width: long, height: 14, fill: "var(--bad)", opacity: .35 },
        svg("title", {}, event.text)));
      lost = null;
    }
    const fill = `var(--${toneOf(event.kind)})`;
    picture.append(svg("circle", { cx: x(moment(event)), cy: 18, r: 4, fill, stroke: "var(--card)" },
      svg("title", {}, `${event.time} ${event.kind} ${event.subject}: ${event.text}`)));
  }
  put("timeline", picture);
};

const draw = () => {
  const now = last(), lately = between(recent[0], now);
  drawHead(now);
  if (paused) return;
  drawTiles(now, lately);
  drawTopology(now, lately);
  drawPlots();
  drawTables(now, lately);
  drawEvents();
};

const ask = async (path) => {
  const response = await fetch(path, { cache: "no-store" });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${(await response.text()).trim()}`);
  return response.json();
};

const poll = async () => {
  try {
    const now = await ask("status");
    handleStatus(now);
    if (polls % 2 === 0) events = await ask("events");
    if (polls % 10 === 0) digests = await ask("digests");
    polls += 1;
    $("plain").hidden = true;
    $("live").hidden = $("pause").hidden = false;
    draw();
  } catch (error) {
    say(`this gate does not answer (${error.message}); what is shown is old`);
  }
  setTimeout(poll, POLL_MS);
};

$("pause").addEventListener("click", () => {
  paused = !paused;
  put("pause", paused ? "Go on" : "Pause");
  draw();
});
poll();
