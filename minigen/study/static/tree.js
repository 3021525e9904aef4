// The steps as a tree: sections (forward, each backward pass), modules, calls inside of rules.

function foldsOf(path) {
  const parts = path ? path.split(".") : [];
  const prefixes = parts.map((_, i) => parts.slice(0, i + 1).join("."));
  return prefixes.filter(prefix => prefix in modules);
}

function newFold(kind, path, parent) {
  return { kind, path, parent, children: [], first: 0, last: 0, open: undefined };
}

function sectionTitle(step) {
  if (step.pass === undefined) return "forward";
  const pass = passes[step.pass];
  const roots = pass.roots.map(([value]) => value).filter(value => value !== null);
  const of = roots.length ? ` of ${roots.map(i => nameOf(values[i])).join(", ")}` : "";
  return `backward${of}`;
}

// The steps that made a value, or the terms of a sum.
function makersOf(i) {
  const { step, terms } = values[i];
  return step === undefined ? (terms || []).flatMap(makersOf) : [step];
}

// Whether a backward step may stand in an earlier fold: branches interleave, and a module is one
// fold all the same if what the step takes was made in the fold or above it. So values are made
// above where they are used, as in the order of the steps, which their numbers tell.
function canJoin(step, fold, rowOf) {
  const { parent } = fold, at = parent.children.indexOf(fold);
  if (at === parent.children.length - 1) return true;
  const later = new Set(parent.children.slice(at + 1));
  return !step.in.flatMap(makersOf).some(made => {
    let node = rowOf[made];
    while (node && node.parent !== parent) node = node.parent;
    return node && later.has(node);
  });
}

function buildTree() {
  const root = newFold("root", "", null);
  const rowOf = []; // of each step its node
  let section = null, stack = [];
  for (const step of steps) {
    const node = { kind: "step", step: step.number, children: [], open: undefined };
    Object.assign(node, { first: step.number, last: step.number });
    rowOf.push(node);
    if (step.inside !== undefined && rowOf[step.inside]) {
      node.parent = rowOf[step.inside];
      node.parent.children.push(node);
      continue;
    }
    if (!section || section.pass !== step.pass) {
      section = newFold("section", "", root);
      section.pass = step.pass;
      section.title = sectionTitle(step);
      root.children.push(section);
      stack = [section];
    }
    const folds = foldsOf(step.module);
    let depth = 0;
    while (depth < folds.length && stack[depth + 1] && stack[depth + 1].path === folds[depth]
        && canJoin(step, stack[depth + 1], rowOf)) {
      depth++;
    }
    stack.length = depth + 1;
    for (const path of folds.slice(depth)) {
      const earlier = step.back && stack.at(-1).children.findLast(child => child.path === path);
      if (earlier && canJoin(step, earlier, rowOf)) {
        stack.push(earlier);
        continue;
      }
      const fold = newFold("fold", path, stack.at(-1));
      fold.back = Boolean(step.back);
      stack.at(-1).children.push(fold);
      stack.push(fold);
    }
    node.parent = stack.at(-1);
    node.parent.children.push(node);
  }
  tidy(root);
  const few = steps.length <= 70;
  measure(root, few);
  return { root, rowOf };
}

// A fold of one step, or of one fold alone, says no more than what it holds.
function tidy(node) {
  for (const child of node.children) tidy(child);
  if (node.kind === "step") return;
  node.children = node.children.map(child => {
    const only = child.kind === "fold" && child.children.length === 1 ? child.children[0] : null;
    if (!only || (only.kind === "step" && only.children.length)) return child;
    only.parent = node;
    return only;
  });
}

// The first and last step of each node, its marks, what is open.
function measure(node, few) {
  node.children.forEach((child, i) => {
    measure(child, few);
    child.index = i + 1;
    child.siblings = node.children.length;
  });
  if (node.children.length) {
    if (node.kind !== "step") node.first = Math.min(...node.children.map(child => child.first));
    node.last = Math.max(...node.children.map(child => child.last));
  }
  node.size = node.children.reduce((sum, c) => sum + c.size, node.kind === "step" ? 1 : 0);
  node.numbers = null; // of its steps, if others are between them
  if (node.kind === "fold" && node.last - node.first + 1 > node.size) {
    node.numbers = new Set(node.children.flatMap(numbersIn));
  }
  const own = node.kind === "step" ? steps[node.step].marks : [];
  node.marks = [...new Set([...own, ...node.children.flatMap(child => child.marks)])];
  const isSection = node.kind === "section" || node.kind === "root";
  node.usuallyOpen = isSection || few && node.kind === "fold";
}

const tree = buildTree();

// The numbers of the steps of a node.
function numbersIn(node) {
  return [...(node.kind === "step" ? [node.step] : []), ...node.children.flatMap(numbersIn)];
}

function spans(node, number) {
  return node.first <= number && number <= node.last;
}

function contains(node, number) {
  return node.numbers ? node.numbers.has(number) : spans(node, number);
}

// What the reader has not folded or unfolded is open around the current step.
function isOpen(node, current) {
  if (!node.children.length) return false;
  if (node.open !== undefined) return node.open;
  return node.usuallyOpen || node.kind === "fold" && spans(node, current)
    || node.kind === "step" && node.step < current && current <= node.last;
}

function openRows(current) {
  const rows = [];
  const visit = (node, level) => {
    for (const child of node.children) {
      rows.push({ node: child, level });
      if (isOpen(child, current)) visit(child, level + 1);
    }
  };
  visit(tree.root, 1);
  return rows;
}

// The node that shows a step: its own, or the innermost fold around it that is closed.
function shownNode(number, current) {
  let shown = tree.rowOf[number];
  for (let node = shown; node.parent; node = node.parent) {
    if (node !== tree.rowOf[number] && !isOpen(node, current)) shown = node;
  }
  return shown;
}

function setAllFolds(open) {
  const visit = node => {
    const canFold = node.kind === "fold" || node.kind === "step";
    if (canFold) node.open = node.children.length ? open : undefined;
    node.children.forEach(visit);
  };
  visit(tree.root);
}
