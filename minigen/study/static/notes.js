// What is worth a look: a list of notes, marks of steps, and cotangents by size.

const isBad = value => Boolean(value.facts.nan || value.facts.inf);
const badSteps = steps.filter(step => step.out.some(i => isBad(values[i]))).map(s => s.number);
const isFloat = value => /float|complex/.test(value.dtype);
const isZero = i => values[i].facts.zeros === 1 && values[i].shape.length > 0
  && isFloat(values[i]) && !isBad(values[i]);

const MARKS = { // of steps, in the list and in the graph: what each tells
  "not finite": "a result is NaN or infinite",
  zero: "a result is zero everywhere",
  detached: "an argument was detached: no gradient flows back to it from here",
  outside: "made outside of the graph, though it depends on a parameter",
};

function marksOf(step) {
  const found = [];
  if (step.out.some(i => isBad(values[i]))) found.push("not finite");
  if (step.out.some(isZero)) found.push("zero");
  if (step.cut) found.push("detached");
  if (step.outside) found.push("outside");
  return found;
}
for (const step of steps) step.marks = marksOf(step);

const bare = step => !step.back && !step.recorded && passes.length > 0; // outside of the graph

function placeOf(step) {
  const module = step.module || step.class || "";
  return [module && `in ${module}`, siteOf(step)].filter(Boolean).join(", ");
}

const titleOf = step => `step ${step.number}, ${step.op}${step.back ? " backward" : ""}`;
const whereIs = step => `${titleOf(step)} (${placeOf(step)})`;

// ----------------------------------------------------------------------------- the parameters

const norms = new Map(data.norms.map(([i, norm]) => [i, numberOf(norm)]));
const labelled = new Map(); // name of a parameter -> its values, of which writes make new ones
for (const value of values) {
  if (value.role !== "parameter" || !value.usedBy.length) continue;
  labelled.set(nameOf(value), [...(labelled.get(nameOf(value)) || []), value]);
}

function stepOfGradient(gradient) {
  return gradient.step ?? gradient.usedBy[0] ?? lastTerm(gradient);
}

// [{name, value, pass, gradient}] of each gradient that backward passes left; null: it got none.
function gradientRows() {
  const rows = [];
  for (const [name, same] of labelled) {
    const found = same.flatMap(value => passes.flatMap((pass, number) => pass.gradients
      .filter(([of]) => of === value.number)
      .map(([, i]) => ({ name, value, pass: number, gradient: values[i] }))));
    if (found.length) rows.push(...found);
    else rows.push({ name, value: same[0], pass: null, gradient: null });
  }
  return rows.map(row => ({ ...row, ...sizeOfGradient(row) }));
}

function sizeOfGradient({ gradient, value }) {
  const step = gradient ? stepOfGradient(gradient) ?? value.usedBy[0] : value.usedBy[0];
  if (!gradient) return { step, text: "none", kind: "none" };
  const { nan, inf } = gradient.facts, norm = norms.get(gradient.number);
  if (nan) return { step, text: `NaN (${nan})`, kind: "bad" };
  if (inf) return { step, text: `∞ (${inf})`, kind: "bad" };
  if (norm === undefined) return { step, text: "not kept", kind: "" };
  if (norm === 0) return { step, text: "0 everywhere", kind: "zero" };
  return { step, text: numberText(norm), kind: "", norm, ratio: norm / norms.get(value.number) };
}
const gradientsFound = passes.length ? gradientRows() : [];

// --------------------------------------------------------------------------------- the notes

function noteworthy() {
  return [...notFiniteNotes(), ...gradientNotes(), ...cutNotes(), ...zeroNotes()];
}

function notFiniteNotes() {
  const notes = [], add = (kind, text, step) => notes.push({ kind, text, step });
  const isFirst = value => value.step === undefined && value.role !== "cotangent";
  const early = values.filter(value => isBad(value) && isFirst(value));
  if (early.length) {
    const where = early.every(value => value.role === "parameter")
      ? " (an earlier training step made them so)" : "";
    const text = `from the start: ${few(early.map(nameOf))}${where}`;
    add("not finite", text, early[0].usedBy[0] ?? 0);
  }
  const firsts = [steps[badSteps[0]], badSteps.map(n => steps[n]).find(step => step.back)];
  for (const step of new Set(firsts.filter(Boolean))) {
    add("not finite", `first made by ${whereIs(step)}`, step.number);
  }
  return notes;
}

function few(names) {
  const rest = names.length - 4;
  return rest > 1 ? `${names.slice(0, 4).join(", ")} and ${rest} more` : names.join(", ");
}

function gradientNotes() {
  const texts = { none: "no gradient reaches", zero: "the gradient is 0 everywhere:",
    bad: "the gradient is not finite:" };
  return Object.entries(texts).flatMap(([kind, text]) => {
    const rows = gradientsFound.filter(row => row.kind === kind);
    if (!rows.length || (kind === "none" && !passes.some(pass => pass.gradients.length))) return [];
    const names = [...new Set(rows.map(row => row.name))];
    return [{ kind: "parameters", text: `${text} ${few(names)}`, step: rows[0].step }];
  });
}

function cutNotes() {
  const hasNone = cut => !values[cut.value].cotangents.length; // by another way, neither
  const sorted = [...data.cuts].sort((a, b) => hasNone(b) - hasNone(a));
  return sorted.map(cut => ({
    kind: cut.kind === "detach" ? "detached" : "outside", step: cut.step,
    text: cut.kind === "detach" ? detachText(cut, hasNone(cut)) : noGradText(cut),
  }));
}

const lineOf = cut => (cut.lines.length ? ` (line ${cut.lines.join(" or ")})` : "");

function detachText(cut, hasNone) {
  const { value: i, step, used } = cut, value = values[i], made = value.step;
  const what = made === undefined ? nameOf(value) : `${nameOf(value)} of ${whereIs(steps[made])}`;
  const first = `detach()${lineOf(cut)} cuts off ${what}: a constant for ${whereIs(steps[step])}`;
  const then = step === used ? "" : `, and so for ${whereIs(steps[used])}`;
  return first + then + (hasNone ? "" : "; by another way it has a gradient");
}

function noGradText(cut) {
  return `no_grad${lineOf(cut)}: outside of the graph from ${whereIs(steps[cut.step])} on; what `
    + `comes of it is a constant for ${whereIs(steps[cut.used])}`;
}

function zeroNotes() {
  return steps.filter(step => step.out.length === 1 && isZero(step.out[0])
    && !step.in.some(i => values[i].facts.zeros === 1)).map(step => ({
    kind: "zero", step: step.number,
    text: `${step.back ? "the cotangent" : "the result"} is 0 everywhere: ${whereIs(step)}`,
  }));
}

const notes = noteworthy();

// ------------------------------------------------------------------------------- by their size

// The steps that make cotangents, by the largest number in them; infinities are first. Those that
// pass on the seed of a loss, a number alone, are left out.
function bySize() {
  const largest = new Map(); // step -> size
  for (const value of values) {
    if (value.role !== "cotangent" || value.step === undefined) continue;
    if (value.picture === undefined || value.shape.every(n => n === 1)) continue;
    const { min, max, inf, nan } = value.facts;
    const finite = Math.max(Math.abs(numberOf(min ?? 0)), Math.abs(numberOf(max ?? 0)));
    const size = inf || (nan && min === undefined) ? Infinity : finite;
    largest.set(value.step, Math.max(size, largest.get(value.step) ?? 0));
  }
  return [...largest].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}
const cotangentsBySize = bySize();
