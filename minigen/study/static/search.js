// Going somewhere by name: modules, ops, parameters, steps, and notes.

const MOST = 60; // matches that are shown
const search = { entries: [], shown: [], at: -1 };

function makeSearch() {
  const seen = new Set();
  const add = (kind, text, step, more = "") => {
    const key = `${kind} ${text}`.toLowerCase();
    if (step === undefined || seen.has(key)) return;
    search.entries.push({ kind, text, step, more, key, name: text.toLowerCase() });
    seen.add(key);
  };
  const firstIn = new Map(), firstOf = new Map();
  for (const step of steps) {
    for (const path of foldsOf(step.module)) if (!firstIn.has(path)) firstIn.set(path, step.number);
    const name = step.back ? `${step.op} backward` : step.op;
    if (!firstOf.has(name)) firstOf.set(name, step.number);
  }
  for (const [path, number] of firstIn) add("module", path, number, classOf(path));
  for (const [name, number] of firstOf) add("op", name, number);
  for (const value of values) if (value.name) add(value.role, value.name, value.usedBy[0]);
  for (const row of gradientsFound) add("gradient", row.name, row.step, row.text);
  for (const step of steps) for (const mark of step.marks) add(mark, whereIs(step), step.number);
  for (const { kind, text, step } of notes) add("note", `${kind}: ${text}`, step);
  const input = byId("search");
  input.addEventListener("input", () => match(input.value));
  input.addEventListener("focus", () => match(input.value));
  input.addEventListener("blur", () => setTimeout(closeMatches, 150));
  input.addEventListener("keydown", keyInSearch);
}

// What a number, the name of a value or a line of the source stand for.
function exactly(text) {
  const found = [], add = (kind, step, what) => found.push({ kind, text: what, step, more: "" });
  const number = /^#?(\d+)$/.exec(text), value = /^v(\d+)$/.exec(text);
  const line = /^(?:line |(.+):)(\d+)$/.exec(text);
  if (number && Number(number[1]) < steps.length) {
    add("step", Number(number[1]), `${Number(number[1])} ${steps[Number(number[1])].op}`);
  }
  if (value && Number(value[1]) < values.length) {
    const { step, usedBy, name, terms, shape, number: i } = values[Number(value[1])];
    const at = step ?? usedBy[0] ?? (terms ? lastTerm(values[i]) : undefined);
    if (at !== undefined) add("value", at, `v${i} ${name || ""} ${shapeText(shape)}`);
  }
  for (const step of line ? steps : []) {
    if (step.line !== Number(line[2]) || step.file === undefined) continue;
    const isIn = !line[1] || files[step.file].name.toLowerCase().includes(line[1].trim());
    if (isIn) add("line", step.number, `${siteOf(step)} ${titleOf(step)}`);
  }
  return found;
}

// How well an entry matches, the least is best: the name, its begin, the begin of a part, any part.
function rankOf(entry, text) {
  const { name } = entry, at = name.indexOf(text);
  const isNote = entry.kind === "note" ? 4 : 0;
  if (name === text) return isNote;
  if (at === 0) return isNote + 1;
  return isNote + (at > 0 && !/[a-z0-9]/.test(name[at - 1]) ? 2 : 3);
}

function match(typed) {
  const text = typed.trim().toLowerCase(), words = text.split(/\s+/).filter(Boolean);
  const isNan = /^(nan|inf|infinite|infinity|∞)$/.test(text);
  const isIn = ({ key, more, kind }) => (isNan && kind === "not finite")
    || words.every(word => key.includes(word) || more.toLowerCase().includes(word));
  const rank = entry => (isNan && entry.kind === "not finite" ? -1 : rankOf(entry, text));
  const found = search.entries.filter(isIn).map(entry => [rank(entry), entry]);
  found.sort(([a], [b]) => a - b);
  search.shown = [...exactly(text), ...found.map(([, entry]) => entry)].slice(0, MOST);
  search.at = search.shown.length && text ? 0 : -1;
  drawMatches();
}

function drawMatches() {
  const box = byId("matches"), input = byId("search");
  const rows = search.shown.map((entry, i) => element("li", {
    role: "option", id: `match-${i}`, "aria-selected": String(i === search.at),
    onpointerdown: event => { event.preventDefault(); take(entry); },
  }, element("span", { class: "kind" }, entry.kind), 
  element("span", {}, `${entry.text} `, element("span", { class: "number" }, entry.more)),
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
