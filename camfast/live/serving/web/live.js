// The page: what is told goes to where it is read, what is asked for goes to the server.

import { Connection } from "./connection.js";
import { draw, drawScale, short, table } from "./picture.js";
import { Scores, Search } from "./classes.js";
import { save, snapshot } from "./snapshot.js";

const at = (id) => document.getElementById(id);
const SLIDERS = ["alpha", "threshold"];
const SELECTS = ["colormap", "method", "layer"];
const STEP = 0.05; // of the opacity, a key
const AT_MOST_EVERY = 50; // ms between changes that a slider sends
const CALM_AFTER = 500; // ms after which a slider isn't moved any more
const SCORES_EVERY = 200; // ms: names that change with every frame can't be read

let hello = { choices: { classes: [] }, camfast: "" };
let colors = {}; // 256 × 3 bytes by name
let settings = null;
let status = null;
let shown = null; // header and time of the frame that is seen
let paused = false;
let sideBySide = false;
let lost = null;
let drawn = []; // times of the last frames
let scoresAt = 0;
const moving = {}; // sliders that were moved here just now: what others say of them waits
const waiting = {}; // and those whose value is to be sent

const scores = new Scores(at("scores"), (target) => change({ target }));
const search = new Search(at("class-search"), at("class-list"), (target) => change({ target }));
const connection = new Connection({ heard, frame, changed });

function heard(text) {
  if (text.type === "hello") greet(text);
  if (text.type === "settings") showSettings(text.settings);
  if (text.type === "status") showStatus(text);
  if (text.type === "error") notice("refused", text.message);
}

function changed(state, why) {
  if (state === "broken") return notice("broken", why);
  if (state === "open") {
    lost = null;
    notice("lost", "");
    want();
    wantFrames();
  } else {
    lost = why || lost || ""; // the first reason stays in sight while the next attempts have none
    notice("source", "");
    notice("lost", `The connection to camfast is lost${lost ? ` (${lost})` : ""}. This page tries again.`);
  }
  showState();
}

function greet(text) {
  hello = text;
  search.names = text.choices.classes;
  colors = Object.fromEntries(Object.entries(text.colors).map(([name, base64]) => [name, table(base64)]));
  for (const id of SELECTS) {
    const options = text.choices[`${id}s`].map((name) => new Option(name, name));
    at(id).replaceChildren(...options);
  }
  if (settings) showSettings(settings);
}

async function frame(header, images) {
  if (paused && shown) return;
  await draw(at("overlay"), images.overlay);
  if (images.frame) await draw(at("frame"), images.frame);
  shown = { header, time: new Date().toISOString(), side: Boolean(images.frame) };
  drawn.push(performance.now());
  notice("broken", "");
  describe(header);
}

function describe(header) {
  at("empty").hidden = true;
  showSides();
  at("snapshot").disabled = at("pause").disabled = false;
  at("low").textContent = short(header.low);
  at("high").textContent = short(header.high);
  const { colormap, threshold } = header.settings;
  if (colors[colormap]) drawScale(at("scale"), colors[colormap], threshold);
  at("legend").setAttribute("aria-label", `Colours of the map: from ${short(header.low)} to ${short(header.high)}`);
  const size = header.shape.slice(0, header.volume ? 3 : 2).join(" × ");
  at("caption").textContent = [
    `${paused ? "Paused at frame" : "Frame"} ${header.number}`,
    header.name,
    `${size} ${header.dtype}${header.volume ? ", as projections" : ""}`,
    paused && sideBySide && !shown.side ? "the frame alone comes with the next one" : "",
  ].filter(Boolean).join(" · ");
  at("overlay").setAttribute("aria-label",
    `Frame ${header.number}, overlaid with the ${header.settings.method} map of ${header.target.name}`);
  if (performance.now() - scoresAt > SCORES_EVERY) {
    scoresAt = performance.now();
    scores.show(header.scores, header.target);
    showStages(header);
  }
}

function showStages(header) {
  const stages = Object.entries(header.milliseconds);
  at("stages").replaceChildren(...stages.map(([name, ms]) => {
    const row = document.createElement("div");
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    term.textContent = name;
    value.textContent = `${ms === null ? "–" : ms.toFixed(1)} ms`;
    value.className = "number";
    row.append(term, value);
    return row;
  }));
}

function showSettings(now) {
  settings = now;
  for (const id of SLIDERS) {
    if (!moving[id]) at(id).value = now[id];
    showValue(id);
  }
  for (const id of SELECTS) at(id).value = now[id];
  at("predicted").setAttribute("aria-pressed", String(now.target === "predicted"));
  search.show(now.target === "predicted" ? "" : hello.choices.classes[now.target]);
}

function showValue(id) {
  const text = `${Math.round(100 * at(id).value)} %`;
  document.querySelector(`output[for=${id}]`).textContent = text;
  at(id).setAttribute("aria-valuetext", text);
}

function showStatus(now) {
  status = now;
  at("what").textContent = [now.source, now.model].filter(Boolean).join(" · ");
  at("fps").textContent = rate(now.fps);
  at("source-fps").textContent = rate(now.source_fps);
  for (const id of ["p50", "p95", "p99"]) at(id).textContent = `${rate(now.latency_ms[id])} ms`;
  for (const id of ["arrived", "shown", "dropped"]) at(id).textContent = now[id];
  at("bad").textContent = [
    now.broken && `${now.broken} couldn’t be read`,
    now.failed && `${now.failed} couldn’t be explained`,
    now.lost && `${now.lost} never came from the source`,
    ...Object.entries(now.sinks).map(([name, note]) => `${name}: ${note}`),
  ].filter(Boolean).join(", ");
  notice("source", now.message);
  showState();
}

const rate = (number) => (number === null ? "–" : number.toFixed(1));

function showState() {
  const state = lost !== null ? "lost" : connection.isOpen ? (paused ? "paused" : status?.state ?? "starting") : "connecting";
  document.body.dataset.state = state;
  at("controls").inert = !connection.isOpen;
  at("state-word").textContent = state === "lost" ? "connection lost" : state;
  document.title = state === "running" ? "camfast live" : `${at("state-word").textContent} – camfast live`;
}

// One line for each subject, in a region that screen readers read out when it changes.
function notice(subject, text) {
  const id = `notice-${subject}`;
  let line = at(id);
  if (!text) return line?.remove();
  if (!line) {
    line = document.createElement("p");
    line.id = id;
    at("notice").append(line);
    if (subject === "refused") setTimeout(() => line.remove(), 8000);
  }
  if (line.textContent !== text) line.textContent = text;
}

function change(changes) {
  connection.say("change", changes);
}

function want() {
  connection.say("want", { format: at("format").value, frame: sideBySide });
}

function wantFrames() {
  connection.say("pause", { paused: paused || document.hidden });
}

function setPaused(now) {
  if (!shown) return;
  paused = now;
  at("pause").setAttribute("aria-pressed", String(paused));
  at("pause").textContent = paused ? "Go on" : "Pause";
  wantFrames();
  describe(shown.header);
  showState();
}

function setSideBySide(now) {
  sideBySide = now;
  at("side").setAttribute("aria-pressed", String(now));
  if (shown) describe(shown.header);
  want();
}

// The frame alone is there only if it came with the overlay that is seen.
function showSides() {
  at("frame-side").hidden = at("overlay-caption").hidden = !(sideBySide && shown?.side);
}

async function takeSnapshot() {
  if (!shown) return;
  const { header, time, side } = shown;
  const { parts, ...facts } = header;
  const canvases = sideBySide && side ? [at("frame"), at("overlay")] : [at("overlay")];
  const format = parts[0].format;
  const png = await snapshot(canvases, { ...facts, time, format, source: status?.source, model: status?.model }, hello.camfast);
  save(png, `camfast_${String(header.number).padStart(6, "0")}.png`);
}

function slide(id) {
  showValue(id);
  clearTimeout(moving[id]);
  moving[id] = setTimeout(() => {
    moving[id] = 0;
    showSettings(settings);
  }, CALM_AFTER);
  waiting[id] ||= setTimeout(() => {
    waiting[id] = 0;
    change({ [id]: Number(at(id).value) });
  }, AT_MOST_EVERY);
}

function fade(by) {
  at("alpha").value = Number(at("alpha").value) + by;
  slide("alpha");
}

for (const id of SLIDERS) at(id).oninput = () => slide(id);
for (const id of SELECTS) at(id).onchange = () => change({ [id]: at(id).value });
at("predicted").onclick = () => change({ target: "predicted" });
at("pause").onclick = () => setPaused(!paused);
at("side").onclick = () => setSideBySide(!sideBySide);
at("snapshot").onclick = takeSnapshot;
at("format").onchange = want;
at("help-open").onclick = () => at("help").showModal();
document.onvisibilitychange = wantFrames;

const KEYS = {
  " ": () => setPaused(!paused),
  s: takeSnapshot,
  f: () => setSideBySide(!sideBySide),
  p: () => change({ target: "predicted" }),
  "/": () => at("class-search").focus(),
  "?": () => at("help").showModal(),
  "[": () => fade(-STEP),
  "]": () => fade(STEP),
  ArrowLeft: () => fade(-STEP),
  ArrowRight: () => fade(STEP),
};

document.onkeydown = (event) => {
  const action = KEYS[event.key];
  const uses = event.target.closest("input:not([type=range]), select, dialog")
    || (event.target.closest("input") && event.key.startsWith("Arrow"))
    || (event.target.closest("button, summary") && event.key === " ");
  if (!action || uses || event.ctrlKey || event.metaKey || event.altKey || !at("keys").checked) return;
  event.preventDefault();
  action();
};

setInterval(() => {
  const now = performance.now();
  drawn = drawn.filter((time) => now - time < 2000);
  at("page-fps").textContent = rate(drawn.length / 2);
}, 500);
