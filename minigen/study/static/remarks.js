// What is worth a look at a step, said at the top of its pane and at the arguments concerned.

const isAllZero = value => value.facts.zeros === 1 && !isBad(value);

const learned = new Set(); // values that depend on a parameter, along the graph or not
for (const value of values) if (value.role === "parameter") learned.add(value.number);
for (const step of steps) {
  if (step.back || step.inside !== undefined || !step.in.some(i => learned.has(i))) continue;
  for (const i of step.out) if (isFloat(values[i])) learned.add(i);
}

// Why no gradient flows back from a step to its argument i, which depends on a parameter:
// "detached" before that step, or "outside", made by a step that is not in the graph.
function cutAt(step, i) {
  if (step.back || step.inside !== undefined || !(step.untracked || []).includes(i)) return "";
  const value = values[step.in[i]], maker = steps[value.step];
  if (!isFloat(value) || !learned.has(value.number)) return "";
  return maker === undefined || maker.recorded ? "detached" : "outside";
}

const detachedIn = new Map(); // number of a value -> steps that take it detached
for (const step of steps) {
  step.in.forEach((number, i) => {
    if (cutAt(step, i) !== "detached") return;
    detachedIn.set(number, [...(detachedIn.get(number) || []), step.number]);
  });
}

function cutText(step, number) {
  const kinds = step.in.map((n, i) => (n === number ? cutAt(step, i) : ""));
  if (kinds.includes("detached")) {
    return ["detached before this step: no gradient flows back to it from here"];
  }
  if (!kinds.includes("outside")) return null;
  const made = values[number].step;
  return ["made outside of the graph, by ", stepLink(made, stepName(made)),
    ": no gradient flows back to it"];
}

function stepName(number) {
  return `${number} ${steps[number].op}`;
}

function remarksOn(step) {
  const remarks = [...notFiniteRemarks(step), ...zeroRemarks(step)];
  const here = notes.filter(note => note.step === step.number);
  const told = kind => here.filter(note => note.kind === kind).map(({ text }) => [text]);
  remarks.push(...told("parameters"));
  const cuts = [...told("detached"), ...told("no_grad")];
  if (cuts.length || step.back || step.inside !== undefined) return [...remarks, ...cuts];
  const [text, isStrong] = step.recorded ? [null] : outsideRemark(step);
  if (isStrong) remarks.push(text);
  if (step.recorded) {
    for (const number of new Set(step.in)) {
      const text = cutText(step, number);
      if (text) remarks.push([`${nameOf(values[number])} is `, ...text, "."]);
    }
  }
  return remarks;
}

// [text, whether it is worth a look] of a forward step that is not in the graph.
function outsideRemark(step) {
  const untracked = step.untracked || [];
  const tracked = step.in.filter((_, i) => !untracked.includes(i));
  if (step.constant) return [["not in the graph: its op has no derivative"], false];
  if (tracked.length) {
    const names = [...new Set(tracked)].map(i => nameOf(values[i])).join(", ");
    const text = `computed under no_grad. No gradient flows back to ${names}.`;
    return [[`Not in the graph: ${text}`], true];
  }
  const kinds = step.in.map((_, i) => cutAt(step, i));
  const cut = step.in[kinds.findIndex(Boolean)];
  if (cut !== undefined) {
    return [["Not in the graph: ", nameOf(values[cut]), " is ", ...cutText(step, cut), "."], true];
  }
  return [["not in the graph: none of its arguments requires a gradient"], false];
}

function notFiniteRemarks(step) {
  const bad = step.out.filter(i => isBad(values[i]));
  if (!bad.length) return [];
  const names = bad.map(i => `${nameOf(values[i])} has ${notFiniteText(values[i].facts)}`);
  const read = [...step.in, ...(step.back ? step.saved : [])];
  const from = [...new Set(read.filter(i => isBad(values[i])))];
  const cause = from.length ? `It came in with ${from.map(i => nameOf(values[i])).join(", ")}.`
    : "What the step takes is finite: it begins here.";
  return [[`Not finite: ${names.join("; ")}. ${cause}`]];
}

function notFiniteText({ nan, inf, minus = 0 }) {
  const signs = !minus ? "+∞" : minus === inf ? "−∞" : `${inf - minus} +∞, ${minus} −∞`;
  return [nan && `${nan} NaN`, inf && `${inf} infinite (${signs})`].filter(Boolean).join(", ");
}

function zeroRemarks(step) {
  const zero = [...new Set(step.out)].filter(i => isAllZero(values[i]) && isFloat(values[i]));
  if (!zero.length) return [];
  const names = zero.map(i => nameOf(values[i])).join(", ");
  const from = [...new Set(step.in.filter(i => isAllZero(values[i])))].map(i => nameOf(values[i]));
  const cause = from.length ? `, as ${from.join(", ")} is`
    : step.back ? ", though the cotangent that came in is not" : ", though nothing it takes is";
  return [[`${names} ${zero.length > 1 ? "are" : "is"} 0 everywhere${cause}.`]];
}
