// The page of the explorer: what is moved is asked of the server, and what it answers is drawn.
// The address holds the whole question, after the "#".

const DASHES = [[1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [14, 4], [5, 2, 1, 2, 1, 2]];
const STEPS = 1000;
const ERRORS = 1;
const PARTS = 4;
const PAUSE_MS = 600;
const REST_MS = 150;
const NEAR = 40;
const FEW_CORES = (navigator.hardwareConcurrency || 2) <= 2;
const OTHER = "#A6761D";
const SETTLED_MS = 250;
const session = crypto.randomUUID();
const element = (selector) => document.querySelector(selector);
const start = await (await fetch("start.json")).json();

// The state: curves {source, changes}, which one is shown, and what throughput is quoted by.
let state = { curves: [], shown: 0, per: "rack" };
// What is known of each curve, by its place: controls, line, stretches, and what was asked last.
let known = [];
let answered = null;

// --- the address ---------------------------------------------------------------------------

function address() {
  const pairs = [["per", state.per], ["shown", String(state.shown)]];
  for (const curve of state.curves) {
    pairs.push(["curve", curve.source]);
    for (const [key, value] of Object.entries(curve.changes)) { pairs.push(["set", `${key}=${value}`]); }
  }
  return "#" + new URLSearchParams(pairs).toString();
}

function readAddress() {
  const read = { curves: [], shown: 0, per: "rack" };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    const last = read.curves[read.curves.length - 1];
    const cut = value.indexOf("=");
    if (key === "per" && start.per.includes(value)) { read.per = value; }
    else if (key === "shown") { read.shown = Number(value) || 0; }
    else if (key === "curve") { read.curves.push({ source: value, changes: {} }); }
    else if (key === "set" && last && cut > 0) { last.changes[value.slice(0, cut)] = value.slice(cut + 1); }
  }
  if (!read.curves.length) { read.curves = start.curves; }
  read.curves = read.curves.slice(0, start.most);
  read.shown = Math.min(Math.max(0, Math.trunc(read.shown)), read.curves.length - 1);
  return read;
}

// --- asking ----------------------------------------------------------------------------------

class Refused extends Error {}

async function ask(name, curve, more = {}, signal = undefined) {
  const body = JSON.stringify({ session, curve, ...more });
  let response;
  try {
    response = await fetch(name, { method: "POST", body, signal });
  } catch (error) {
    if (error.name === "AbortError") { throw error; }
    throw new Refused("hbmopt explore has ended: start it again in the terminal");
  }
  const answer = await response.json().catch(() => ({ error: `the server says ${response.status}` }));
  if (!response.ok) { throw new Refused(answer.error); }
  return answer;
}

// One question is on its way at a time; of those that come meanwhile, the last is asked next.
class Follower {
  constructor(follow) { this.follow = follow; this.running = false; this.again = false; }
  async go() {
    if (this.running) { this.again = true; return; }
    this.running = true;
    do { this.again = false; await this.follow(); } while (this.again);
    this.running = false;
  }
}

function say(text, wrong = false) {
  element("#status").textContent = text;
  element("#status").classList.toggle("wrong", wrong);
}

const shown = () => state.curves[state.shown];
// A frontier is the same whatever the floor is.
function lineKey(curve) {
  const { "limits.min_speed": _, ...changes } = curve.changes;
  return JSON.stringify([curve.source, changes, state.per]);
}

// --- drawing ---------------------------------------------------------------------------------

const views = {};

async function embed(place, specification) {
  const { view } = await vegaEmbed(place, specification, {
    // Without rows, as before the first answer, scales have no extent, of which Vega would warn.
    renderer: "svg", actions: false, logLevel: ERRORS
  });
  return view;
}

function put(view, data) {
  for (const [name, rows] of Object.entries(data)) { view.data(name, rows); }
  return view.runAsync();
}

function nameOf(at) {
  const curve = state.curves[at], one = known[at].line;
  if (!one) { return curve.source; }
  const racks = new Set(known.map((other) => other.line && other.line.rack));
  const models = new Set(known.map((other) => other.line && other.line.llm));
  const parts = [racks.size > 1 || models.size === 1 ? one.rack : "", models.size > 1 ? one.llm : ""];
  return parts.filter(Boolean).join(", ") || one.rack;
}

function valueOf(line, mark) {
  if (state.per === "mw") { return mark.power_kw > 0 ? mark.throughput / mark.power_kw * 1e3 : 0; }
  return mark.throughput * line.points[0].value / line.points[0].throughput;
}

async function drawFrontier() {
  const lines = [], ribbons = [], marks = [], floors = [];
  state.curves.forEach((curve, at) => {
    const { line, stretches } = known[at];
    if (!line || !line.points.length) { return; }
    let last = null, segment = 0;
    line.points.forEach((point) => {
      const name = limitOf(stretches, point.speed);
      if (last !== null && name !== last.limit) {
        // A stretch begins where the one before ends.
        segment += 1;
        lines.push({ ...last, limit: name, segment });
      }
      last = { ...point, curve: String(at + 1), limit: name, segment };
      lines.push(last);
    });
    if (at === state.shown) { ribbons.push(...line.likely); }
  });
  const one = known[state.shown];
  if (one.line && one.line.points.length && answered && answered.mark) {
    const mark = answered.mark, value = valueOf(one.line, mark);
    const share = mark.throughputs ? mark.throughputs.map((end) => end / mark.throughput * value) : [value, value];
    const speeds = mark.speeds || [mark.speed, mark.speed];
    marks.push({ speed: mark.speed, value, low: share[0], high: share[1], slow: speeds[0], fast: speeds[1],
      words: mark.words });
  }
  const floor = valueOfControl("limits.min_speed");
  if (floor > 0) { floors.push({ speed: floor }); }
  drawLegend(new Set(lines.map((row) => row.limit)));
  await put(views.frontier, { lines, ribbons, marks, floors });
}

function drawLegend(limits) {
  const names = [...Object.keys(start.colours).filter((name) => limits.has(name)),
    ...[...limits].filter((name) => !(name in start.colours))];
  if (element("#legend").dataset.names === names.join()) { return; }
  element("#legend").dataset.names = names.join();
  element("#legend").replaceChildren(...names.map((name) => {
    const row = document.createElement("li");
    // As a mark of a chart, whose colours are others in the dark.
    row.innerHTML = `<svg class="marks" viewBox="0 0 22 4"><rect width="22" height="4" fill="${start.colours[name] || OTHER}"/></svg>`;
    row.append(name);
    return row;
  }));
}

function valueOfControl(key) {
  const found = (known[state.shown].controls || []).find((one) => one.key === key);
  return found ? found.value : NaN;
}

// The point of all curves that is nearest to the pointer: where it stands, and how far away.
function nearest(event) {
  const picture = element("#frontier .chart svg");
  if (!picture) { return null; }
  const box = picture.getBoundingClientRect();
  const [left, top] = views.frontier.origin();
  const [x, y] = [views.frontier.scale("x"), views.frontier.scale("y")];
  const [across, down] = [event.clientX - box.left - left, event.clientY - box.top - top];
  let best = null;
  state.curves.forEach((_, at) => {
    for (const point of (known[at].line || { points: [] }).points) {
      const away = Math.hypot(x(point.speed) - across, y(point.value) - down);
      if (!best || away < best.away) { best = { at, away, ...point }; }
    }
  });
  return best;
}

function clicked(event) {
  const best = nearest(event);
  if (best) { showPlan(best.at, best.speed); }
}

// One text follows the pointer, so that curves need no marks of their own to be hovered.
function hovered(event) {
  const best = nearest(event), place = element("#hover");
  place.hidden = !best || best.away > NEAR;
  if (place.hidden) { return; }
  const limit = limitOf(known[best.at].stretches, best.speed);
  place.textContent = `${nameOf(best.at)}: ${short(best.throughput, 3)} tok/s at ${short(best.speed, 4)} ` +
    `tok/s per user${limit === start.unknown ? "" : `, limited by ${limit}`}`;
  const box = element("#frontier .chart").getBoundingClientRect();
  place.style.top = `${event.clientY - box.top + 14}px`;
  place.style.left = `${Math.max(0, Math.min(event.clientX - box.left + 14, box.width - place.offsetWidth))}px`;
}

const short = (value, count) => Number(value.toPrecision(count)).toLocaleString("en");
function limitOf(stretches, speed) {
  const found = stretches && stretches.find((one) => speed <= one.to * (1 + 1e-9));
  return found ? found.limit : start.unknown;
}

async function showPlan(at, speed) {
  const place = element("#plan");
  place.hidden = false;
  place.textContent = `Solving at ${speed.toPrecision(4)} tok/s per user …`;
  try {
    // A little below the point, which is rounded to whole sequences.
    const found = await ask("plan", state.curves[at], { speed: speed * (1 - 1e-9) });
    place.innerHTML = found.html;
    place.querySelectorAll("[id]").forEach((one) => one.removeAttribute("id"));
    const close = button("Close", () => { place.hidden = true; });
    const take = button("Set the floor there", () => {
      state.shown = at;
      change("limits.min_speed", `${Number((speed * (1 - 1e-4)).toPrecision(4))} tok/s/user`);
      drawControls();
      place.hidden = true;
    });
    const row = document.createElement("p");
    row.className = "buttons";
    row.append(take, close);
    place.prepend(row);
    place.dataset.speed = String(speed);
  } catch (error) { place.textContent = error.message; }
}

// --- following -------------------------------------------------------------------------------

const followLines = new Follower(async () => {
  const asked = Number(document.body.dataset.asked || 0), problems = [];
  const order = state.curves.map((_, at) => at).sort((one, other) => (other === state.shown) - (one === state.shown));
  await Promise.all(order.map(async (at) => {
    const curve = state.curves[at], own = known[at], key = lineKey(curve);
    if (own.key === key && own.line) { return; }
    try {
      const line = await ask("moving_line", curve, { per: state.per });
      // Colours of before stay until those of now are there.
      Object.assign(own, { line, key, problem: "" });
    } catch (error) {
      Object.assign(own, { line: null, key, problem: error.message });
    }
  }));
  known.forEach((own) => { if (own.problem) { problems.push(own.problem); } });
  say(problems[0] || summary(), Boolean(problems.length));
  drawCurves();
  await drawFrontier();
  document.body.dataset.drawn = String(asked);
  if (FEW_CORES) { answerSoon(); }
});

function summary() {
  const line = known[state.shown].line;
  if (line && !line.points.length) { return "Nothing can be served by this rack at any speed."; }
  if (!answered) { return ""; }
  if (!answered.mark) { return "Nothing can be served as it is asked: below, what is in the way."; }
  const note = line && line.note ? `. ${line.note}` : "";
  return `${nameOf(state.shown)}: ${answered.mark.words}, limited by ${answered.mark.limit}${note}`;
}

const followAnswer = new Follower(async () => {
  const curve = shown(), asked = Number(document.body.dataset.asked || 0);
  try {
    const found = await ask("answer", curve);
    answered = found;
    const place = element("#answer");
    place.innerHTML = found.html;
    document.title = (place.querySelector("h1") || { textContent: "" }).textContent + " - hbmopt explore";
    say(summary());
    if (known[state.shown].line) { await drawFrontier(); }
    await put(views.power, { marks: ring() });
  } catch (error) {
    answered = null;
    element("#answer").textContent = "";
    say(error.message, true);
  }
  document.body.dataset.told = String(asked);
  toldAt = performance.now();
  if (asked === Number(document.body.dataset.asked)) { settle(); }
});

// Two cores draw a curve and the page, so that answers to what is dragged are fewer there.
let toldAt = -Infinity, movedAt = -Infinity, dragged = false, soon = null;
function answerSoon() {
  soon ??= setTimeout(() => {
    soon = null;
    const now = performance.now();
    if (dragged && now < movedAt + REST_MS && now < toldAt + PAUSE_MS) { answerSoon(); }
    else { followAnswer.go(); }
  }, dragged ? REST_MS / 3 : 0);
}

// What takes longer follows when nothing has moved for a moment, and is given up when it does.
let patience = null, slow = new AbortController();
function giveUp() {
  clearTimeout(patience);
  slow.abort();
  slow = new AbortController();
}

function settle() {
  giveUp();
  const signal = slow.signal;
  patience = setTimeout(async () => {
    const quiet = (error) => { if (error.name !== "AbortError" && !(error instanceof Refused)) { throw error; } };
    await Promise.all(state.curves.map((curve, at) => atRest(curve, at, signal).catch(quiet)));
    if (signal.aborted) { return; }
    await Promise.all([
      ...state.curves.map((curve, at) => stretchesOf(curve, at, signal).catch(quiet)),
      powerOf(shown(), signal).catch(quiet),
      curesOf(shown(), signal).catch(quiet),
    ]);
    if (!signal.aborted) { document.body.dataset.settled = document.body.dataset.asked; }
  }, SETTLED_MS);
}

// A curve that moved was drawn to a per cent.
async function atRest(curve, at, signal) {
  const own = known[at], key = lineKey(curve);
  if (own.line && own.key === key && own.fine !== key) {
    Object.assign(own, { line: await ask("line", curve, { per: state.per }, signal), fine: key });
    await drawFrontier();
  }
}

async function stretchesOf(curve, at, signal) {
  const own = known[at], key = lineKey(curve);
  if (own.stretchesKey !== key) {
    const { stretches } = await ask("limits", curve, {}, signal);
    Object.assign(own, { stretches, stretchesKey: key });
    await drawFrontier();
  }
}

async function powerOf(curve, signal) {
  const { caps, cap } = await ask("caps", curve, {}, signal);
  element("#power").hidden = !caps.length;
  const limits = cap ? [{ power_kw: cap }] : [];
  let rows = [];
  // The ends first, then what lies between, as each part can be given up.
  for (let stride = 0; stride < PARTS && caps.length; stride += 1) {
    const part = caps.filter((_, at) => at % PARTS === stride);
    if (!part.length) { continue; }
    rows = rows.concat((await ask("power", curve, { caps: part }, signal)).rows);
    rows.sort((one, other) => one.power_kw - other.power_kw);
    await put(views.power, { rows, marks: ring(), caps: limits });
    await put(views.price, { rows });
  }
}

function ring() {
  const mark = answered && answered.mark;
  return mark ? [{ power_kw: mark.power_kw, throughput: mark.throughput }] : [];
}

async function curesOf(curve, signal) {
  if (!answered || answered.mark) { return; }
  const { html } = await ask("cures", curve, {}, signal);
  if (answered && !answered.mark) { element("#answer").insertAdjacentHTML("beforeend", html); }
}

// Browsers bear a few changes of an address in a second.
let noted = null;
function noteAddress() {
  noted ??= setTimeout(() => { noted = null; history.replaceState(null, "", address()); }, PAUSE_MS / 3);
}

function follow() {
  const now = performance.now();
  dragged = now < movedAt + REST_MS;
  movedAt = now;
  noteAddress();
  document.body.dataset.asked = String(Number(document.body.dataset.asked || 0) + 1);
  followLines.go();
  if (!FEW_CORES) { followAnswer.go(); }
  giveUp();
}

// --- controls --------------------------------------------------------------------------------

function button(text, press, title = "") {
  const made = document.createElement("button");
  Object.assign(made, { textContent: text, title, type: "button" });
  made.addEventListener("click", press);
  return made;
}

const valueIn = (control, text) => (control.kind === "list" ? text : parseFloat(text));
const SHARED = new Set(["question", "prices"]);
const OF_THE_RACK = /^(rack\.|limits\.power$|limits\.accelerator_power$|choices\.lpu_units$)/;

// Set a key of the shown curve, or of all curves that know it where it is part of the question.
function change(key, text, group = "question") {
  state.curves.forEach((curve, at) => {
    const control = (known[at].controls || []).find((one) => one.key === key);
    if (at !== state.shown && !(SHARED.has(group) && control)) { return; }
    if (text === null) { delete curve.changes[key]; } else { curve.changes[key] = text; }
    if (control) { control.value = text === null ? control.base : valueIn(control, text); }
  });
  drawChanges();
  follow();
}

// A list that changes what else there is: the server says what can be moved by then.
async function choose(key, text) {
  const curve = shown();
  if (text === "") { delete curve.changes[key]; } else { curve.changes[key] = text; }
  if (key === "rack" || key === "rack.offload") {
    for (const other of Object.keys(curve.changes)) {
      if (key === "rack" && OF_THE_RACK.test(other)) { delete curve.changes[other]; }
      if (/^(rack\.offload\.|choices\.lpu_units)/.test(other)) { delete curve.changes[other]; }
    }
  }
  if (key === "llm") { delete curve.changes["choices.weight_formats"]; }
  await restart(state.shown);
}

async function learn(at) {
  try {
    const { changes, controls } = await ask("question", state.curves[at]);
    state.curves[at].changes = changes;
    Object.assign(known[at], { controls, problem: "" });
  } catch (error) {
    Object.assign(known[at], { problem: error.message });
    say(error.message, true);
  }
}

async function restart(at) {
  known[at] = { ...known[at], key: null, stretchesKey: null };
  await learn(at);
  drawControls();
  follow();
}

const digits = (value) => Number(value.toPrecision(3));
const written = (value, whole) => String(Number(value.toPrecision(whole ? 9 : 4)));

function sliderControl(one) {
  const box = document.createElement("div");
  box.className = "control";
  box.dataset.key = one.key;
  const label = document.createElement("span");
  Object.assign(label, { textContent: one.label, title: `${one.key}: ${one.meaning}` });
  const range = document.createElement("input");
  Object.assign(range, { type: "range", min: 0, max: STEPS, step: 1 });
  range.setAttribute("aria-label", one.label);
  const number = document.createElement("input");
  Object.assign(number, { type: "text", inputMode: "decimal" });
  number.setAttribute("aria-label", `${one.label}, ${one.unit || "number"}`);
  const unit = document.createElement("span");
  Object.assign(unit, { className: "unit", textContent: one.unit });
  const first = one.may_end ? 1 : 0, ratio = one.most / one.least;
  const placed = (value) => (value <= 0 ? 0 : Math.round(first + (STEPS - first) * Math.log(value / one.least) / Math.log(ratio)));
  const valued = (place) => {
    if (one.may_end && place === 0) { return 0; }
    const value = digits(one.least * Math.exp(Math.log(ratio) * (place - first) / (STEPS - first)));
    return one.whole ? Math.max(1, Math.round(value)) : value;
  };
  const show = (value) => {
    number.value = value === null ? "" : written(value, one.whole);
    range.value = placed(value === null ? Math.sqrt(one.least * one.most) : value);
    number.placeholder = "not known";
    box.classList.toggle("changed", one.key in shown().changes);
  };
  const set = (value) => {
    change(one.key, one.unit ? `${value} ${one.unit}` : String(value), one.group);
    box.classList.add("changed");
  };
  range.addEventListener("input", () => {
    const value = valued(Number(range.value));
    number.value = written(value, one.whole);
    set(value);
  });
  number.addEventListener("change", () => {
    const text = number.value.trim().replaceAll(",", "");
    if (text === "") { change(one.key, null, one.group); show(one.base); return; }
    const value = Number(text);
    // What is no number is told by the server, which knows units as well.
    if (Number.isFinite(value) && text !== "") { range.value = placed(value); set(value); }
    else { change(one.key, text, one.group); }
  });
  label.addEventListener("dblclick", () => { change(one.key, null, one.group); show(one.base); });
  show(one.value);
  box.append(label, number, unit, range);
  return box;
}

function listControl(one) {
  const box = document.createElement("label");
  box.className = "control list";
  box.dataset.key = one.key;
  const label = document.createElement("span");
  Object.assign(label, { textContent: one.label, title: `${one.key}: ${one.meaning}` });
  const select = document.createElement("select");
  const options = one.options.some(([value]) => value === one.value) ? one.options : [...one.options, [one.value, one.value]];
  for (const [value, text] of options) { select.add(new Option(text, value)); }
  select.value = one.value;
  select.addEventListener("change", () => {
    if (one.group === "question") { change(one.key, select.value === "" ? null : select.value, one.group); }
    else { choose(one.key, select.value); }
  });
  box.append(label, select);
  return box;
}

function drawControls() {
  const place = element("#controls"), all = state.curves.length > 1 ? ", all curves" : "";
  place.textContent = "";
  for (const [group, title] of [["rack", "Rack and model"], ["question", `Question${all}`], ["prices", `Prices${all}`]]) {
    const box = document.createElement("fieldset"), legend = document.createElement("legend");
    legend.textContent = title;
    box.append(legend);
    for (const one of (known[state.shown].controls || []).filter((each) => each.group === group)) {
      box.append(one.kind === "list" ? listControl(one) : sliderControl(one));
    }
    place.append(box);
  }
  element("#source").value = shown().source;
  element("#per").value = state.per;
  element("#overlay").disabled = state.curves.length >= start.most;
  drawCurves();
  drawChanges();
}

function drawCurves() {
  const place = element("#curves");
  place.textContent = "";
  state.curves.forEach((curve, at) => {
    const row = document.createElement("li");
    row.classList.toggle("shown", at === state.shown);
    const dash = DASHES[at % DASHES.length].join(" ");
    row.innerHTML = `<svg viewBox="0 0 38 12" aria-hidden="true"><path d="M1 6H37" stroke="currentColor" stroke-width="2.5" stroke-dasharray="${dash}"/></svg>`;
    const name = button(`${at + 1}: ${nameOf(at)}`, () => { state.shown = at; answered = null; drawControls(); follow(); });
    name.className = "name";
    name.setAttribute("aria-current", String(at === state.shown));
    if (known[at].problem) { name.title = known[at].problem; }
    row.append(name);
    if (state.curves.length > 1) {
      const away = button("×", () => {
        state.curves.splice(at, 1);
        known.splice(at, 1);
        state.shown = Math.min(state.shown, state.curves.length - 1);
        answered = null;
        drawControls();
        follow();
      }, "Take this curve away");
      away.className = "away";
      row.append(away);
    }
    place.append(row);
  });
}

function drawChanges() {
  const place = element("#changes");
  place.textContent = "";
  for (const [key, value] of Object.entries(shown().changes)) {
    const row = document.createElement("li");
    const text = document.createElement("span");
    text.textContent = `${key}=${value}`;
    row.append(button("×", () => { delete shown().changes[key]; restart(state.shown); }, "Take it back"), text);
    place.append(row);
  }
}

// --- buttons ---------------------------------------------------------------------------------

function done(text) {
  element("#done").textContent = text;
  setTimeout(() => { element("#done").textContent = ""; }, 4000);
}

async function copy(text, what) {
  try { await navigator.clipboard.writeText(text); done(`${what} copied`); }
  catch { done(`the browser does not let pages copy: ${text}`); }
}

for (const one of document.querySelectorAll("[data-copy]")) {
  one.addEventListener("click", async () => {
    try {
      const texts = await ask("texts", shown());
      await copy(texts[one.dataset.copy], one.textContent.replace("Copy ", ""));
    } catch (error) { done(error.message); }
  });
}
element("#link").addEventListener("click", () => copy(location.origin + location.pathname + address(), "Address"));
element("#save").addEventListener("click", async () => {
  done("the report is being made …");
  try {
    const { html } = await ask("report", shown());
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([html], { type: "text/html" }));
    link.download = `${shown().source.replace(/.*\//, "").replace(/\.ya?ml$/, "")}.html`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    done("report saved");
  } catch (error) { done(error.message); }
});
element("#overlay").addEventListener("click", () => {
  state.curves.push(structuredClone(shown()));
  known.push({ ...known[state.shown] });
  state.shown = state.curves.length - 1;
  drawControls();
  follow();
});
element("#reset").addEventListener("click", () => { shown().changes = {}; restart(state.shown); });
element("#source").addEventListener("change", (event) => {
  shown().source = event.target.value;
  shown().changes = {};
  restart(state.shown);
});
element("#per").addEventListener("change", (event) => { state.per = event.target.value; follow(); });
element("#other").addEventListener("change", (event) => {
  const text = event.target.value, cut = text.indexOf("=");
  if (cut < 1) { say("write a change as key=value, such as limits.max_batch=256", true); return; }
  shown().changes[text.slice(0, cut).trim()] = text.slice(cut + 1).trim();
  event.target.value = "";
  restart(state.shown);
});

// --- the beginning ---------------------------------------------------------------------------

async function begin() {
  state = structuredClone(readAddress());
  known = state.curves.map(() => ({ controls: null, line: null, stretches: null, key: null, problem: "" }));
  answered = null;
  await Promise.all(state.curves.map((_, at) => learn(at)));
  drawControls();
  follow();
}

async function drawCharts() {
  const places = document.querySelectorAll("#power .chart");
  views.frontier = await embed("#frontier .chart", start.charts.frontier);
  views.power = await embed(places[0], start.charts.power);
  views.price = await embed(places[1], start.charts.price);
}

for (const name of start.sources) { element("#source").add(new Option(name, name)); }
if (matchMedia("(max-width: 56rem)").matches) { element("#panel").open = false; }
await drawCharts();
element("#frontier .chart").addEventListener("click", clicked);
element("#frontier .chart").addEventListener("pointermove", hovered);
element("#frontier .chart").addEventListener("pointerleave", () => { element("#hover").hidden = true; });
addEventListener("hashchange", () => { if (location.hash !== address()) { begin(); } });
await begin();
