// The list of steps: a tree of rows of one height, of which only those in view are elements.

const ROW = 28; // pixels; page.css has the same
const MARGIN = 12; // rows beyond the view that are elements too

const list = { rows: [], box: null, inner: null, cursor: null, current: 0 };

function makeList() {
  list.inner = element("div", { role: "presentation" });
  list.box = element("div", {
    class: "rows", role: "tree", tabindex: "0", "aria-label": "Steps, folded by module",
    onscroll: drawRows, onkeydown: keyInList,
  }, list.inner);
  byId("steps").replaceChildren(list.box);
  new ResizeObserver(drawRows).observe(list.box);
}

function rowIndex(node) {
  return list.rows.findIndex(row => row.node === node);
}

// Show the current step. Its row moves by one when the step does, else as little as it can.
function updateList(current) {
  const before = list.cursor && rowIndex(list.cursor) * ROW - list.box.scrollTop;
  const moved = current - list.current;
  list.current = current;
  list.rows = openRows(current);
  list.cursor = shownNode(current, current);
  list.inner.style.height = `${list.rows.length * ROW}px`;
  const top = rowIndex(list.cursor) * ROW, height = list.box.clientHeight;
  let wanted = before ?? 0;
  if (Math.abs(moved) === 1) wanted += moved * ROW;
  else if (top < list.box.scrollTop || top + ROW > list.box.scrollTop + height) wanted = height / 3;
  else wanted = top - list.box.scrollTop;
  const edge = Math.min(2 * ROW, height / 4);
  wanted = Math.max(edge, Math.min(wanted, height - edge - ROW));
  list.box.scrollTop = top - wanted;
  drawRows();
}

// Fold or unfold a node, which stays where it is on the screen.
function toggle(node) {
  if (!node.children.length) return;
  const y = rowIndex(node) * ROW - list.box.scrollTop;
  node.open = !isOpen(node, list.current);
  list.rows = openRows(list.current);
  const least = rowIndex(node) * ROW - y + list.box.clientHeight;
  list.inner.style.height = `${Math.max(list.rows.length * ROW, least)}px`;
  list.box.scrollTop = rowIndex(node) * ROW - y;
  list.cursor = node;
  drawRows();
  updateGraph();
}

function drawRows() {
  if (!list.inner || !steps.length) return;
  const first = Math.max(0, Math.floor(list.box.scrollTop / ROW) - MARGIN);
  const last = Math.ceil((list.box.scrollTop + list.box.clientHeight) / ROW) + MARGIN;
  const shown = shownNode(list.current, list.current);
  const rows = list.rows.slice(first, last).map((row, i) => rowElement(row, first + i, shown));
  list.inner.replaceChildren(...rows);
  const cursor = list.cursor ? rowIndex(list.cursor) : -1;
  const inView = first <= cursor && cursor < last;
  list.box.setAttribute("aria-activedescendant", inView ? `row-${cursor}` : "");
}

function rowElement({ node, level }, i, shown) {
  const isCurrent = node === shown, isFold = node.children.length > 0;
  const classes = ["row", node.kind, isBack(node) ? "back" : "forth"];
  if (isCurrent) classes.push("current");
  if (node === list.cursor) classes.push("cursor");
  if (node.kind === "step" && bare(steps[node.step])) classes.push("bare");
  const row = element("div", {
    id: `row-${i}`, class: classes.join(" "), role: "treeitem", "aria-level": level,
    "aria-setsize": node.siblings, "aria-posinset": node.index,
    "aria-expanded": isFold ? String(isOpen(node, list.current)) : null,
    "aria-selected": String(isCurrent), "aria-current": isCurrent ? "step" : null,
    style: `top:${i * ROW}px;--level:${Math.min(level, 8)}`,
    onclick: event => clickRow(node, event),
  });
  const twist = isFold ? (isOpen(node, list.current) ? "▾" : "▸") : "";
  row.append(element("span", { class: "twist", "aria-hidden": "true" }, twist));
  row.append(...(node.kind === "step" ? stepCells(node) : foldCells(node)));
  return row;
}

function isBack(node) {
  if (node.kind === "step") return Boolean(steps[node.step].back);
  return node.kind === "section" ? node.pass !== undefined : Boolean(node.back);
}

function arrow(back) {
  return element("span", { class: "arrow", "aria-hidden": "true" }, back ? "↑" : "↓");
}

function stepCells(node) {
  const step = steps[node.step];
  const shapes = step.out.length ? shapeText(values[step.out[0]].shape) : "";
  const all = step.out.map(i => `${nameOf(values[i])} ${shapeText(values[i].shape)}`).join(", ");
  const gives = step.out.length > 1 ? `gives ${step.out.length} values: ${all}` : `gives ${all}`;
  const more = step.out.length > 1 ? ` +${step.out.length - 1}` : "";
  return [
    element("span", { class: "number" }, String(step.number)),
    arrow(step.back),
    element("span", { class: "name" }, step.op),
    element("span", { class: "where" }, moduleLabel(step, node.parent)),
    ...markCells(node),
    element("span", { class: "shape", title: gives }, shapes + more),
  ].filter(Boolean);
}

// The module of a step, told from the fold that it is in: "qkv · Linear".
function moduleLabel(step, parent) {
  if (parent.kind === "step") return "";
  const outer = parent.path || "";
  if (step.module === outer) return outer ? "" : step.class || "";
  const path = outer ? step.module.slice(outer.length + 1) : step.module;
  return step.class ? `${path} · ${step.class}` : path;
}

function foldCells(node) {
  if (node.kind === "section") {
    const pass = passes[node.pass];
    const at = pass && pass.file !== undefined ? `${files[pass.file].name}:${pass.line}, ` : "";
    return [
      element("span", { class: "title" }, node.title),
      element("span", { class: "where" }, `${at}steps ${node.first} to ${node.last}`),
      ...markCells(node),
    ].filter(Boolean);
  }
  const outer = node.parent.path ? node.path.slice(node.parent.path.length + 1) : node.path;
  const lit = contains(node, list.current) && !isOpen(node, list.current);
  const isNumber = /^\d+$/.test(outer); // "MaxPool2d 2" rather than "2 MaxPool2d"
  const [name, below] = isNumber ? [classOf(node.path), outer] : [outer, classOf(node.path)];
  const where = lit ? `${below} · at ${list.current} ${steps[list.current].op}` : below;
  return [
    element("span", { class: "number" }),
    arrow(node.back),
    element("span", { class: "name" }, name),
    element("span", { class: "where" }, where),
    ...markCells(node),
    element("span", { class: "shape", title: `${node.size} steps` }, stepsText(node)),
  ].filter(Boolean);
}

// "steps 3–9", or if those of other modules are between them "4 of steps 3–9".
function stepsText(node) {
  return `${node.numbers ? `${node.size} of ` : ""}steps ${node.first}–${node.last}`;
}

const markClass = mark => (mark === "not finite" ? "bad" : "mark");

// The marks of a step; those of a fold while it is folded, but for what is not finite.
function markCells(node) {
  const isClosed = node.kind === "step" || !isOpen(node, list.current);
  return node.marks.filter(mark => isClosed || mark === "not finite").map(mark =>
    element("span", { class: markClass(mark), title: MARKS[mark] }, mark));
}

function clickRow(node, event) {
  const onTwist = event.target.classList.contains("twist");
  list.box.focus({ preventScroll: true });
  if (node.kind === "step" && !(onTwist && node.children.length)) go(node.step);
  else toggle(node);
}

// Up and down choose a row, and go to its step; Enter folds; left and right are steps (page.js).
function keyInList(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = Math.max(0, rowIndex(list.cursor));
  const page = Math.max(1, Math.floor(list.box.clientHeight / ROW) - 1);
  const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page };
  if (event.key in moves) {
    const next = Math.max(0, Math.min(list.rows.length - 1, at + moves[event.key]));
    choose(list.rows[next].node);
  } else if (event.key === "Enter") {
    if (list.cursor.children.length) toggle(list.cursor);
    else if (list.cursor.kind === "step") go(list.cursor.step);
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

function choose(node) {
  if (node.kind === "step") {
    go(node.step);
    return;
  }
  list.cursor = node;
  const top = rowIndex(node) * ROW;
  if (top < list.box.scrollTop) list.box.scrollTop = top;
  const low = top + ROW - list.box.clientHeight;
  if (low > list.box.scrollTop) list.box.scrollTop = low;
  drawRows();
}
