// The second view: the graph of what is open in the list. Forward goes down, backward up beside it.

const MOST_NODES = 200, MOST_BUTTONS = 24, LINE = 52, SIDE = 18;
const LIMIT = 2000; // milliseconds for a layout
const graph = { shown: false, key: "", boxes: new Map(), cancel: () => {}, clicked: null };

// The rows of the forward part and the backward pass around the current step, at most 200 nodes.
function graphRows() {
  const leaves = list.rows.filter(({ node }) =>
    node.kind !== "section" && !(node.children.length && isOpen(node, list.current)));
  const all = leaves.map(row => row.node);
  if (all.length <= MOST_NODES) return [all, 0];
  const shown = shownNode(list.current, list.current);
  const at = Math.max(0, all.indexOf(shown));
  const first = Math.max(0, Math.min(at - MOST_NODES / 2, all.length - MOST_NODES));
  const window = all.slice(first, first + MOST_NODES);
  return [window, all.length - window.length];
}

// The edges between nodes: [from, to], each once, from the values that steps take.
function graphEdges(nodes) {
  const owner = new Map();
  nodes.forEach((node, i) => {
    for (const n of numbersIn(node)) owner.set(n, i);
  });
  const found = new Map();
  nodes.forEach((node, to) => {
    for (const n of numbersIn(node)) {
      for (const i of steps[n].in) {
        for (const made of makersOf(i)) {
          const from = owner.get(made);
          if (from !== undefined && from < to) found.set(`${from},${to}`, [from, to, values[i]]);
        }
      }
    }
  });
  return [...found.values()];
}

function nodeText(node) {
  if (node.kind === "step") {
    const step = steps[node.step], [first] = step.out;
    return [step.op, first === undefined ? "" : shapeText(values[first].shape)];
  }
  return [node.path, `${classOf(node.path)}, ${node.size} steps`];
}

function updateGraph() {
  if (!graph.shown) return;
  const [nodes, missing] = graphRows();
  const key = nodes.map(node => `${node.kind}${node.first}-${node.last}`).join();
  if (key === graph.key) {
    lightNode();
    return;
  }
  graph.key = key;
  graph.cancel();
  const edges = graphEdges(nodes);
  const widths = nodes.map(node => {
    const [name, below] = nodeText(node);
    return Math.max(44, Math.min(190, 7.4 * name.length + 30, 400), 6 * below.length + 16);
  });
  const sides = [nodes.map((node, i) => i).filter(i => !isBack(nodes[i]))];
  sides.push(nodes.map((node, i) => i).filter(i => isBack(nodes[i])));
  const places = [], jobs = [];
  for (const side of sides) {
    const local = new Map(side.map((i, k) => [i, k]));
    const inner = edges.filter(([a, b]) => local.has(a) && local.has(b));
    jobs.push([side.map(i => ({ width: widths[i] })),
      inner.map(([a, b]) => [local.get(a), local.get(b)]), LINE, SIDE]);
  }
  let waiting = jobs.length;
  const cancels = jobs.map((job, s) => layoutSoon(job, LIMIT, found => {
    places[s] = found;
    if (--waiting === 0) drawGraph(nodes, edges, widths, sides, places, missing);
  }));
  graph.cancel = () => cancels.forEach(cancel => cancel());
}

function drawGraph(nodes, edges, widths, sides, places, missing) {
  if (places.some(found => found === null)) {
    byId("graph").replaceChildren(element("p", { class: "note" },
      "This graph takes too long to draw: fold some modules."));
    return;
  }
  const [forth, back] = places, between = sides[1].length ? 60 : 0, top = 14;
  const width = forth.width + between + (sides[1].length ? back.width : 0) + 28;
  const height = Math.max(forth.height, sides[1].length ? back.height : 0) + 2 * top;
  const at = [];
  sides[0].forEach((i, k) => {
    at[i] = { x: 14 + forth.points[k].x, y: top + forth.points[k].y };
  });
  sides[1].forEach((i, k) => { // the first backward step is the lowest
    const point = back.points[k];
    at[i] = { x: 14 + forth.width + between + point.x, y: height - top - point.y };
  });
  const svg = drawing("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": `Graph of ${nodes.length} nodes: forward goes down, backward goes up`,
  });
  svg.append(arrowHeads());
  for (const [a, b, value] of edges) {
    svg.append(edgeDrawing(at[a], at[b], nodes[a], nodes[b], value));
  }
  graph.boxes.clear();
  graph.at = new Map(nodes.map((node, i) => [node, at[i]]));
  graph.pairs = drawing("g");
  svg.append(graph.pairs);
  nodes.forEach((node, i) => svg.append(nodeDrawing(node, at[i], widths[i])));
  const box = element("div", {
    class: "drawing", tabindex: "0", role: "region", "aria-label": "Drawing" }, svg);
  const note = missing ? [element("p", { class: "note" },
    `${missing} more nodes are left out; fold modules to see all.`)] : [];
  byId("graph").replaceChildren(...openFolds(), ...note, box);
  lightNode();
  keepClicked(box);
}

// A button for each open module, which folds it.
function openFolds() {
  const open = list.rows.map(row => row.node)
    .filter(node => node.kind === "fold" && isOpen(node, list.current));
  if (!open.length) return [];
  const buttons = open.slice(0, MOST_BUTTONS).map(node => element("button", {
    title: `fold ${node.path}${isBack(node) ? ", backward" : ""}`,
    class: isBack(node) ? "back" : "",
    onclick: event => toggleInGraph(node, event.currentTarget),
  }, `▾ ${node.path}`));
  return [element("div", { class: "open-folds" }, ...buttons)];
}

// What was clicked stays where it is: the node, or what it is folded into.
function toggleInGraph(node, clicked) {
  const box = byId("graph").querySelector(".drawing").getBoundingClientRect();
  const at = clicked.getBoundingClientRect();
  const isNode = clicked.matches("g");
  graph.clicked = isNode ? { node, x: at.left - box.left, y: at.top - box.top } : null;
  toggle(node);
}

function keepClicked(box) {
  if (!graph.clicked) return;
  const { node, x, y } = graph.clicked;
  graph.clicked = null;
  const shown = [...graph.boxes.keys()];
  const first = shown.find(other => other === node || contains(node, other.first));
  if (!first) return;
  const outer = box.getBoundingClientRect(), inner = graph.boxes.get(first).getBoundingClientRect();
  box.scrollTop += inner.top - outer.top - y;
  box.scrollLeft += inner.left - outer.left - x;
}

function arrowHeads() {
  const heads = drawing("defs");
  for (const name of ["forth", "back"]) {
    heads.append(drawing("marker", {
      id: `head-${name}`, class: name, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7,
      markerHeight: 7, orient: "auto",
    }, drawing("path", { d: "M0 1L8 4L0 7Z" })));
  }
  return heads;
}

function edgeDrawing(from, to, a, b, value) {
  const back = isBack(b), half = 17;
  const start = isBack(a) ? -half : half, end = back ? half : -half;
  const y1 = from.y + start, y2 = to.y + end;
  const bend = isBack(a) === back ? (y2 - y1) / 2 : 30;
  const [c1, c2] = isBack(a) === back ? [y1 + bend, y2 - bend] : [y1 + bend, y2 + bend];
  const line = drawing("path", {
    class: `edge ${back ? "back" : "forth"}`, "marker-end": `url(#head-${back ? "back" : "forth"})`,
    d: `M${from.x} ${y1}C${from.x} ${c1} ${to.x} ${c2} ${to.x} ${y2}`,
  });
  line.append(drawing("title", {}, `${nameOf(value)} ${shapeText(value.shape)}`));
  return line;
}

function nodeDrawing(node, { x, y }, width) {
  const [name, below] = nodeText(node);
  const group = drawing("g", {
    class: ["node", node.kind, isBack(node) ? "back" : "forth",
      ...node.marks.map(mark => mark.replace(" ", "-"))].join(" "),
    transform: `translate(${x} ${y})`, role: "button", tabindex: "0",
    "aria-label": `${name}, ${below}${isBack(node) ? ", backward" : ""}`,
  });
  const act = () => (node.kind === "step" ? go(node.step) : toggleInGraph(node, group));
  group.addEventListener("click", act);
  group.addEventListener("keydown", event => {
    if (event.key !== "Enter") return;
    event.stopPropagation();
    act();
  });
  group.append(
    drawing("rect", { x: -width / 2, y: -17, width, height: 34, rx: 6 }),
    drawing("text", { y: -2, class: "name" }, name),
    drawing("text", { y: 11, class: "below" }, below));
  graph.boxes.set(node, group);
  return group;
}

// Dotted lines from the node of the current step to that of its derivative, or of its call.
function pairLines(shown) {
  const { call, derivatives } = steps[list.current];
  const others = call === undefined ? derivatives : [call];
  const nodes = new Set(others.map(n => shownNode(n, list.current)));
  const from = graph.at.get(shown);
  return [...nodes].map(node => graph.at.get(node)).filter(to => from && to && to !== from)
    .map(to => drawing("path", { class: "pair", d: `M${from.x} ${from.y}L${to.x} ${to.y}` }));
}

function lightNode() {
  const shown = shownNode(list.current, list.current);
  for (const [node, group] of graph.boxes) group.classList.toggle("current", node === shown);
  graph.pairs?.replaceChildren(...pairLines(shown));
  const group = graph.boxes.get(shown), box = byId("graph").querySelector(".drawing");
  if (!group || !box) return;
  const outer = box.getBoundingClientRect(), inner = group.getBoundingClientRect();
  box.scrollTop += inner.top - outer.top - Math.max(0, (outer.height - inner.height) / 2);
  box.scrollLeft += inner.left - outer.left - Math.max(0, (outer.width - inner.width) / 2);
}
