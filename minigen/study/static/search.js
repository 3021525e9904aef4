// Going somewhere by name: modules, ops, parameters, steps, and notes.

const MOST = 60; // matches that are shown
const search = { entries: [], shown: [], at: -1 };

function makeSearch() {
  const seen = new Set();
  const add = (kind, text, step) => {
    const key = `${kind} ${text}`;
    if (!seen.has(key)) search.entries.push({ kind, text, step, key: key.toLowerCase() });
    seen.add(key);
  };
  for (const [text, step] of noteworthy()) add("note", text, step);
  const firstIn = new Map(), firstOf = new Map();
  for (const step of steps) {
    for (const path of foldsOf(step.module)) if (!firstIn.has(path)) firstIn.set(path, step.number);
    const name = step.back ? `${step.op} backward` : step.op;
    if (!firstOf.has(name)) firstOf.set(name, step.number);
  }
  for (const [path, number] of firstIn) add("module", `${path} · ${classOf(path)}`, number);
  for (const value of values) {
    if (value.name && value.usedBy.length) add(value.role, value.name, value.usedBy[0]);
  }
  for (const value of values) {
    const found = gradients.get(value.number);
    if (!found || !value.name) continue;
    const gradient = values[found[0]];
    const step = gradient.step ?? lastTerm(gradient);
    if (step !== undefined) add("gradient", value.name, step);
  }
  for (const [name, number] of firstOf) add("op", name, number);
  const input = byId("search");
  input.addEventListener("input", () => match(input.value));
  input.addEventListener("focus", () => match(input.value));
  input.addEventListener("blur", () => setTimeout(closeMatches, 150));
  input.addEventListener("keydown", keyInSearch);
  const notes = search.entries.filter(entry => entry.kind === "note").length;
  const button = byId("notes");
  button.hidden = !notes;
  button.textContent = `${notes} ${notes > 1 ? "notes" : "note"}`;
  button.addEventListener("click", showNotes);
}

function showNotes() {
  byId("search").value = "note";
  byId("search").focus();
  match("note");
}

function match(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const isIn = entry => words.every(word => entry.key.includes(word));
  const found = [];
  if (/^#?\d+$/.test(text.trim())) {
    const number = Number(text.trim().replace("#", ""));
    if (number < steps.length) {
      found.push({ kind: "step", text: `${number} ${steps[number].op}`, step: number });
    }
  }
  for (const entry of search.entries) {
    if (found.length >= MOST) break;
    if (isIn(entry)) found.push(entry);
  }
  search.shown = found;
  search.at = found.length && text ? 0 : -1;
  drawMatches();
}

function drawMatches() {
  const box = byId("matches"), input = byId("search");
  const rows = search.shown.map((entry, i) => element("li", {
    role: "option", id: `match-${i}`, "aria-selected": String(i === search.at),
    onpointerdown: event => { event.preventDefault(); take(entry); },
  }, element("span", { class: "kind" }, entry.kind), ` ${entry.text} `,
  element("span", { class: "number" }, `#${entry.step}`)));
  if (!rows.length) {
    const text = element("span", {}, "nothing of that name");
    rows.push(element("li", { role: "option", "aria-selected": "false" }, "", text));
  }
  box.replaceChildren(...rows);
  box.hidden = false;
  input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-activedescendant", search.at < 0 ? "" : `match-${search.at}`);
  box.children[search.at]?.scrollIntoView({ block: "nearest" });
}

function closeMatches() {
  byId("matches").hidden = true;
  byId("search").setAttribute("aria-expanded", "false");
  byId("search").setAttribute("aria-activedescendant", "");
}

function take(entry) {
  byId("search").value = "";
  closeMatches();
  go(entry.step);
  list.box.focus({ preventScroll: true });
}

function keyInSearch(event) {
  event.stopPropagation();
  const n = search.shown.length;
  if (event.key === "ArrowDown" && n) search.at = (search.at + 1) % n;
  else if (event.key === "ArrowUp" && n) search.at = (search.at + n - 1) % n;
  else if (event.key === "Enter" && search.shown[search.at]) return take(search.shown[search.at]);
  else if (event.key === "Escape") {
    byId("search").value = "";
    closeMatches();
    return list.box.focus({ preventScroll: true });
  } else return undefined;
  event.preventDefault();
  return drawMatches();
}
