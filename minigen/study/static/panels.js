// Two views beside the list and the graph: the parameters with their gradients, and the notes.

const panels = { rows: { parameters: [], notes: [] } };

const ABOUT = { relative: "the norm of the gradient, divided by that of the parameter" };

function makePanels() {
  makeNotes();
  makeParameters();
}

// A row of a panel: a link to a step. It stays open, so that the next row is one key away.
function panelRow(panel, step, cells, classes = "") {
  const act = event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(step);
  };
  const row = element("a", { href: `#${step}`, class: `panel-row ${classes}`, onclick: act,
    onkeydown: event => keyInPanel(panel, event) }, ...cells);
  panels.rows[panel].push({ row, step });
  return row;
}

function keyInPanel(panel, event) {
  const rows = panels.rows[panel].map(({ row }) => row), at = rows.indexOf(event.currentTarget);
  const next = { ArrowDown: rows[at + 1], ArrowUp: rows[at - 1] }[event.key];
  if (!next) return;
  next.focus();
  event.preventDefault();
  event.stopPropagation();
}

function makeNotes() {
  const rows = notes.map(({ kind, text, step }) => panelRow("notes", step, [
    element("span", { class: "mark" }, kind), " ", element("span", { class: "text-of" }, text)]));
  const none = element("p", { class: "note" }, data.kept
    ? "Nothing stands out: all is finite, no result is 0 everywhere, every parameter that was used "
      + "has a gradient."
    : "Values were not kept.");
  const list = element("ul", {}, ...rows.map(row => element("li", {}, row)));
  byId("notes").replaceChildren(notes.length ? list : none);
  const button = byId("show-notes");
  button.textContent = notes.length ? `notes (${notes.length})` : "notes";
  button.classList.toggle("some", notes.length > 0);
}

function makeParameters() {
  const box = byId("parameters");
  if (!gradientsFound.length) {
    box.replaceChildren(element("p", { class: "note" }, passes.length
      ? "No parameter was used." : "No backward pass was recorded."));
    return;
  }
  const sizes = gradientsFound.map(row => row.norm).filter(Boolean).map(Math.log10);
  const low = Math.min(...sizes) - 0.5, high = Math.max(...sizes);
  const single = passes.length === 1;
  const groups = new Map();
  for (const row of gradientsFound) {
    const key = single ? 0 : row.pass ?? -1;
    groups.set(key, [...(groups.get(key) || []), row]);
  }
  const parts = [...groups].sort(([a], [b]) => a - b).map(([key, rows]) => {
    const caption = key < 0 ? "without a gradient" : passTitle(key);
    const heads = ["parameter", "shape", "norm of the gradient", "relative"];
    return element("table", {}, element("caption", {}, caption),
      element("thead", {}, element("tr", {},
        ...heads.map(text => element("th", { scope: "col", title: ABOUT[text] }, text)))),
      element("tbody", {}, ...rows.map(row => parameterRow(row, low, high))));
  });
  box.replaceChildren(...parts);
}

function passTitle(number) {
  const pass = passes[number];
  const at = pass.file === undefined ? "" : ` in ${files[pass.file].name}:${pass.line}`;
  return `gradients of the backward pass${at}`;
}

function parameterRow(row, low, high) {
  const share = row.norm ? (Math.log10(row.norm) - low) / Math.max(high - low, 0.5) : 0;
  const cell = (content, name) => element("td", { class: name }, content);
  const ratio = Number.isFinite(row.ratio) ? numberText(+row.ratio.toPrecision(2)) : "";
  const size = element("span", { class: row.kind ? `mark ${row.kind}` : "size",
    style: `--share:${(100 * share).toFixed(0)}%` }, row.text);
  const link = panelRow("parameters", row.step, [row.name]);
  return element("tr", { onclick: event => event.target.closest("a") || link.click() },
    cell(link, "name"), cell(shapeText(row.value.shape), "shape"), cell(size),
    cell(ratio, "shape"));
}

function updatePanels(number) {
  for (const { row, step } of Object.values(panels.rows).flat()) {
    const isHere = step === number;
    row.classList.toggle("current", isHere);
    if (isHere) row.setAttribute("aria-current", "step");
    else row.removeAttribute("aria-current");
  }
}

// The keys, in a dialog.
const HELP = [
  ["← →", "one step back, one step on"], ["Home End", "the first step, the last step"],
  ["space", "play, pause"], ["↑ ↓", "one row up or down: list, graph, parameters, notes"],
  ["Enter", "fold or unfold the module of the row"], ["/", "search"], ["n", "the next step that "
    + "makes a NaN or an infinity"], ["c", "the largest cotangent, and then the next largest"],
  ["u", "notes: what is worth a look"], ["p", "parameters, with the norms of their gradients"],
  ["g", "graph"], ["+ - 0", "in the graph: larger, smaller, all of it"], ["?", "these keys"],
];

function showHelp() {
  const dialog = byId("help");
  if (dialog.open) {
    dialog.close();
    return;
  }
  const keys = HELP.flatMap(([key, text]) => [
    element("dt", {}, ...key.split(" ").map(part => element("kbd", {}, part))),
    element("dd", {}, text)]);
  const marks = Object.entries(MARKS).flatMap(([mark, text]) => [
    element("dt", {}, element("span", { class: markClass(mark) }, mark)), element("dd", {}, text)]);
  dialog.replaceChildren(
    element("h2", {}, "Keys"), element("dl", {}, ...keys),
    element("h2", {}, "In the list"), element("dl", {},
      element("dt", {}, arrow(false), arrow(true)),
      element("dd", {}, "a step forward; a step backward, which calls derivative rules"),
      ...marks,
      element("dt", {}, "64 × 48 +2"),
      element("dd", {}, "the shape of the first result, and two more results")),
    element("button", { onclick: () => dialog.close() }, "close"));
  dialog.showModal();
}
