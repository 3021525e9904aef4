// The second view: the graph of what is open in the list. Forward goes down, backward up beside it.

const MOST_NODES = 200, MOST_BUTTONS = 24, LINE = 52, SIDE = 18;
const LIMIT = 2000; // milliseconds for a layout
const HALF = 17; // of the height of a box
const graph = {
  shown: false, key: "", boxes: new Map(), nodes: [], cancel: () => {}, clicked: null, scale: null,
};

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
  if (node.kind !== "step") return [node.path, `${classOf(node.path)}, ${node.size} steps`];
  const step = steps[node.step], [first] = step.out;
  const module = step.module.split(".").slice(-2).join(".");
  const shape = first === undefined ? "" : shapeText(values[first].shape);
  return [step.op, [module, shape, ...step.marks].filter(Boolean).join(" · ")];
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
    return Math.max(44, Math.min(190, 7.4 * name.length + 30), 5.6 * below.length + 16);
  });
  const sides = [nodes.map((node, i) => i).filter(i => !isBack(nodes[i]))];
  sides.push(nodes.map((node, i) => i).filter(i => isBack(nodes[i])));
  const places = [], jobs = [];
  for (const side of sides) {
    const local = new Map(side.map((i, k) => [i, k]));
    const inner = innerEdges(edges, side);
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

function innerEdges(edges, side) {
  const isIn = new Set(side);
  return edges.filter(([a, b]) => isIn.has(a) && isIn.has(b));
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
  const onPaper = [
    ({ x, y }) => ({ x: 14 + x, y: top + y }),
    ({ x, y }) => ({ x: 14 + forth.width + between + x, y: height - top - y }), // the first lowest
  ];
  const routes = new Map(); // edge -> the points that it passes
  sides.forEach((side, s) => {
    side.forEach((i, k) => { at[i] = onPaper[s](places[s].points[k]); });
    innerEdges(edges, side).forEach((edge, k) => {
      routes.set(edge, places[s].routes[k].map(onPaper[s]));
    });
  });
  const svg = drawing("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": `Graph of ${nodes.length} nodes: forward goes down, backward goes up`,
  });
  svg.append(arrowHeads());
  for (const edge of edges) {
    const [a, b, value] = edge;
    svg.append(edgeDrawing([at[a], ...(routes.get(edge) || []), at[b]], nodes[a], nodes[b], value));
  }
  graph.boxes.clear();
  Object.assign(graph, { nodes, svg, width, height });
  graph.at = new Map(nodes.map((node, i) => [node, at[i]]));
  graph.pairs = drawing("g");
  svg.append(graph.pairs);
  nodes.forEach((node, i) => svg.append(nodeDrawing(node, at[i], widths[i])));
  const box = element("div", {
    class: "drawing", tabindex: "0", role: "region", "aria-label": "Drawing" }, svg);
  const note = missing ? [element("p", { class: "note" },
    `${missing} more nodes are left out; fold modules to see all.`)] : [];
  byId("graph").replaceChildren(graphTools(), ...note, box);
  applyScale();
  lightNode();
  keepClicked(box);
}

// A button for each open module, which folds it; and the size of the drawing.
function graphTools() {
  const open = list.rows.map(row => row.node)
    .filter(node => node.kind === "fold" && isOpen(node, list.current));
  const buttons = open.slice(0, MOST_BUTTONS).map(node => element("button", {
    title: `fold ${node.path}${isBack(node) ? ", backward" : ""}`,
    class: isBack(node) ? "back" : "",
    onclick: event => toggleInGraph(node, event.currentTarget),
  }, `▾ ${node.path}`));
  const size = (text, title, act) => element("button", { title, "aria-label": title, onclick: act },
    text);
  return element("div", { class: "open-folds" }, ...buttons, element("span", { class: "spacer" }),
    size("−", "smaller (-)", () => rescale(0.8)), size("+", "larger (+)", () => rescale(1.25)),
    size("fit", "the whole graph, or as wide as it is (0)", () => rescale(0)));
}

// The drawing as wide as its pane, unless its text would be too small; or as the reader chose.
function applyScale() {
  const box = byId("graph").querySelector(".drawing");
  if (!box || !graph.svg) return;
  const fitting = Math.max(0.75, Math.min(1, box.clientWidth / graph.width));
  const scale = graph.scale ?? fitting;
  graph.svg.setAttribute("width", graph.width * scale);
  graph.svg.setAttribute("height", graph.height * scale);
}

function rescale(factor) {
  const box = byId("graph").querySelector(".drawing");
  if (!box || !graph.svg) return;
  const now = graph.svg.width.baseVal.value / graph.width;
  const whole = Math.min(1, box.clientWidth / graph.width, (box.clientHeight - 2) / graph.height);
  const isWhole = Math.abs(now - whole) < 1e-3;
  graph.scale = factor ? Math.max(0.1, Math.min(3, now * factor)) : isWhole ? null : whole;
  applyScale();
  lightNode();
}

// Up and down go to the box above or below, of the same side; page up and down move the drawing.
function keyInGraph(event) {
  const box = byId("graph").querySelector(".drawing");
  const pages = { PageUp: -1, PageDown: 1 }[event.key];
  const rows = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const factor = { "+": 1.25, "=": 1.25, "-": 0.8, 0: 0 }[event.key];
  if (!box || (pages ?? rows ?? factor) === undefined) return false;
  event.preventDefault();
  if (pages) box.scrollTop += pages * 0.8 * box.clientHeight;
  else if (factor !== undefined) rescale(factor);
  else {
    const focused = [...graph.boxes].find(([, group]) => group === document.activeElement);
    const node = focused ? focused[0] : shownNode(list.current, list.current);
    const next = graph.nodes[graph.nodes.indexOf(node) + (isBack(node) ? -rows : rows)];
    if (!next || isBack(next) !== isBack(node)) return true;
    if (next.kind === "step") go(next.step);
    graph.boxes.get(next)?.focus();
  }
  return true;
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

// An edge through points: from box to box, straight where it passes a row of boxes.
function edgeDrawing(points, a, b, value) {
  const back = isBack(b), isCrossing = isBack(a) !== back;
  const [from, to] = [points[0], points.at(-1)];
  const out = isBack(a) ? -HALF : HALF, into = back ? HALF : -HALF;
  let x = from.x, y = from.y + out, d = `M${x} ${y}`;
  const curve = (toX, toY) => {
    const bend = isCrossing ? 30 : (toY - y) / 2;
    d += `C${x} ${y + bend} ${toX} ${isCrossing ? toY + bend : toY - bend} ${toX} ${toY}`;
    [x, y] = [toX, toY];
  };
  for (const point of points.slice(1, -1)) {
    curve(point.x, point.y - out);
    y = point.y + out;
    d += `V${y}`;
  }
  curve(to.x, to.y + into);
  const kind = back ? "back" : "forth";
  const line = drawing("path", { class: `edge ${kind}`, "marker-end": `url(#head-${kind})`, d });
  line.append(drawing("title", {}, `${nameOf(value)} ${shapeText(value.shape)}`));
  return line;
}

function nodeDrawing(node, { x, y }, width) {
  const [name, below] = nodeText(node);
  const group = drawing("g", {
    class: ["node", node.kind, isBack(node) ? "back" : "forth",
      ...node.marks.map(mark => mark.replace(" ", "-")),
      node.kind === "step" && bare(steps[node.step]) ? "bare" : ""].join(" "),
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
    drawing("rect", { x: -width / 2, y: -HALF, width, height: 2 * HALF, rx: 6 }),
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
