// The current step, the keys, and the address.

let current = 0, timer = null;
const entry = { at: 0, quick: 0, timer: null }; // the last one of the history

function go(n, how = "push") {
  if (!steps.length) return;
  const number = Math.max(0, Math.min(steps.length - 1, Math.trunc(n) || 0));
  current = number;
  const step = steps[number];
  updateList(number);
  updateSource(step);
  updateStep(step);
  updateMemory(number);
  updateGraph();
  byId("position").textContent = `${number} / ${steps.length - 1}`;
  byId("announcement").textContent =
    `step ${number}, ${step.op}, ${step.back ? "backward" : "forward"}, ${step.module}`;
  if (how !== "stay") address(number, how);
}

// Each step has an address. Quick steps share an entry in the history: browsers limit their number.
function address(number, how) {
  if (location.hash === `#${number}`) return;
  const now = performance.now(), isQuick = now - entry.at < 250;
  clearTimeout(entry.timer);
  const write = () => {
    try {
      if (how === "replace" || isQuick) history.replaceState(null, "", `#${number}`);
      else history.pushState(null, "", `#${number}`);
    } catch { /* a page inside of another document may have no history */ }
    entry.at = performance.now();
  };
  entry.quick = isQuick ? entry.quick + 1 : 0;
  if (entry.quick < 60) write();
  else entry.timer = setTimeout(write, 250);
}

function fromAddress() {
  const number = Number(location.hash.slice(1));
  return Number.isInteger(number) ? number : 0;
}

function nextBad() {
  const next = badSteps.find(n => n > current) ?? badSteps[0];
  if (next !== undefined) go(next);
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => {
    if (current === steps.length - 1) play(false);
    else go(current + 1, "replace");
  }, 600) : null;
  byId("play").setAttribute("aria-pressed", String(on));
  byId("play").textContent = on ? "pause" : "play";
}

function showView(isGraph) {
  graph.shown = isGraph;
  byId("steps").hidden = isGraph;
  byId("graph").hidden = !isGraph;
  byId("show-list").setAttribute("aria-selected", String(!isGraph));
  byId("show-graph").setAttribute("aria-selected", String(isGraph));
  if (isGraph) updateGraph();
  else updateList(current);
}

function foldAll(open) {
  setAllFolds(open);
  updateList(current);
  updateGraph();
}

const KEYS = {
  ArrowLeft: () => go(current - 1),
  ArrowRight: () => go(current + 1),
  Home: () => go(0),
  End: () => go(steps.length - 1),
  " ": () => play(!timer),
  n: nextBad,
  c: () => largestCotangent && go(largestCotangent.step),
  u: showNotes,
  g: () => showView(!graph.shown),
  "/": () => byId("search").focus(),
};

function onKey(event) {
  if (!steps.length || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.("input")) return;
  const isButton = event.target.matches?.("button, summary, a");
  if (isButton && event.key === " ") return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  if (event.key !== " ") play(false);
  act();
}

function start() {
  makeList();
  makeSource();
  makeMemory();
  makeSearch();
  const on = (id, act) => byId(id).addEventListener("click", () => {
    if (id !== "play") play(false);
    act();
  });
  on("previous", () => go(current - 1));
  on("next", () => go(current + 1));
  on("play", () => play(!timer));
  on("bad", nextBad);
  on("largest", () => go(largestCotangent.step));
  on("show-list", () => showView(false));
  on("show-graph", () => showView(true));
  on("fold", () => foldAll(false));
  on("unfold", () => foldAll(true));
  byId("bad").disabled = !badSteps.length;
  byId("largest").disabled = !largestCotangent;
  if (badSteps.length) byId("bad").textContent = `next NaN (${badSteps.length})`;
  else byId("bad").textContent = data.kept ? "no NaN" : "values not kept";
  addEventListener("keydown", onKey);
  addEventListener("popstate", () => go(fromAddress(), "stay"));
  addEventListener("hashchange", () => fromAddress() !== current && go(fromAddress(), "stay"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => go(current, "stay"));
  if (steps.length) go(fromAddress(), "stay");
  else {
    byId("step").textContent = "Nothing was recorded.";
    document.querySelectorAll("button, input").forEach(each => { each.disabled = true; });
  }
  if (window.top === window) list.box.focus({ preventScroll: true });
  document.body.dataset.ready = "1";
}

const study = { steps: steps.length, current: () => current, go };
window.study = study;
start();
