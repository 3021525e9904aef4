// The current step, the keys, and the address.

let current = 0, timer = null, rank = -1, shownView = "list";
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
  updatePanels(number);
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

// After a change of the window's size the current line and row are in view as before.
function keepInView() {
  if (!steps.length) return;
  updateSource(steps[current]);
  if (shownView === "list") updateList(current);
  if (shownView === "graph") {
    applyScale();
    lightNode();
  }
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

// The next largest cotangent after the one that the last call went to, while it is shown.
function nextLargest() {
  if (!cotangentsBySize.length) return;
  const isThere = current === cotangentsBySize[rank]?.[0];
  rank = isThere ? (rank + 1) % cotangentsBySize.length : 0;
  const [number, size] = cotangentsBySize[rank];
  go(number);
  byId("largest").textContent =
    `cotangent ${rank + 1} of ${cotangentsBySize.length}: ${numberText(size)}`;
}

const VIEWS = { list: "steps", graph: "graph", parameters: "parameters", notes: "notes" };

function showView(view) {
  shownView = view;
  graph.shown = view === "graph";
  for (const [name, id] of Object.entries(VIEWS)) {
    byId(id).hidden = name !== view;
    byId(`show-${name}`).setAttribute("aria-selected", String(name === view));
  }
  byId("fold").hidden = byId("unfold").hidden = !(view === "list" || view === "graph");
  if (view === "graph") updateGraph();
  else if (view === "list") updateList(current);
}

// By key: to a view, and from it back to the list.
function switchTo(view) {
  const to = shownView === view ? "list" : view;
  showView(to);
  if (to === "list") list.box.focus({ preventScroll: true });
  else if (to !== "graph") {
    const row = byId(to).querySelector(".current") || byId(to).querySelector("a");
    (row || byId(`show-${to}`)).focus();
  }
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
  c: nextLargest,
  u: () => switchTo("notes"),
  p: () => switchTo("parameters"),
  g: () => switchTo("graph"),
  "?": showHelp,
  "/": () => byId("search").focus(),
};

function onKey(event) {
  if (!steps.length || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.("input") || byId("help").open) return;
  const isButton = event.target.matches?.("button, summary, a");
  if (isButton && event.key === " ") return;
  const isFree = event.target === document.body || event.target.closest?.("#middle, header");
  if (graph.shown && isFree && keyInGraph(event)) return;
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
  makePanels();
  const on = (id, act) => byId(id).addEventListener("click", () => {
    if (id !== "play") play(false);
    act();
  });
  on("previous", () => go(current - 1));
  on("next", () => go(current + 1));
  on("play", () => play(!timer));
  on("bad", nextBad);
  on("largest", nextLargest);
  on("keys", showHelp);
  Object.keys(VIEWS).forEach(view => on(`show-${view}`, () => showView(view)));
  on("fold", () => foldAll(false));
  on("unfold", () => foldAll(true));
  byId("bad").disabled = !badSteps.length;
  byId("largest").disabled = !cotangentsBySize.length;
  const bad = badSteps.flatMap(n => steps[n].out.map(i => values[i].facts));
  const what = [bad.some(f => f.nan) && "NaN", bad.some(f => f.inf) && "∞"].filter(Boolean);
  const title = `next ${what.join(" or ")} (${badSteps.length})`;
  if (badSteps.length) byId("bad").textContent = title;
  else byId("bad").textContent = data.kept ? "no NaN" : "values not kept";
  addEventListener("keydown", onKey);
  new ResizeObserver(keepInView).observe(byId("middle"));
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
