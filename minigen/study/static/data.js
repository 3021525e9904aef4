// The recording: what the JSON holds, and what follows from it.

const data = JSON.parse(document.getElementById("data").textContent);
const { steps, values, passes, files, texts, pictures, modules } = data;
const bands = data.memory; // by category: {key, name, bytes of each step}
const memory = steps.map((_, i) => bands.reduce((sum, band) => sum + band.bytes[i], 0));

const numberOf = x => (typeof x === "string" ? Number(x) : x); // "NaN", "Infinity"
steps.forEach((step, number) => {
  Object.assign(step, { number, in: step.in || [], out: step.out || [], saved: step.saved || [] });
  step.module = step.module || "";
  step.derivatives = []; // the backward steps of a forward step
});
values.forEach((value, number) => {
  Object.assign(value, { number, usedBy: [], keptBy: [], cotangents: [], sumOf: value.terms });
  value.facts = value.picture === undefined ? {} : pictures[value.picture];
});
for (const step of steps) {
  for (const i of new Set(step.in)) values[i].usedBy.push(step.number);
  if (!step.back) for (const i of step.saved) values[i].keptBy.push(step.number);
  if (step.back && step.call !== undefined) steps[step.call].derivatives.push(step.number);
}
for (const value of values) {
  if (value.of !== undefined) values[value.of].cotangents.push(value.number);
}
const gradients = new Map(); // number of a leaf -> numbers of the gradients that passes found
for (const pass of passes) {
  for (const [of, gradient] of pass.gradients) {
    gradients.set(of, [...(gradients.get(of) || []), gradient]);
  }
}

// --------------------------------------------------------------- what values and steps are called

function nameOf(value) {
  return value.name || `v${value.number}`;
}

function shapeText(shape) {
  return shape.length ? shape.join(" × ") : "scalar";
}

function bytesText(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"]; // as in run.memory()
  let i = 0;
  while (bytes >= 1000 && i < units.length - 1) { bytes /= 1000; i++; }
  return `${i && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[i]}`;
}

function numberText(x) {
  x = numberOf(x);
  if (!Number.isFinite(x)) return String(x).replace("Infinity", "∞").replace("-", "−");
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x).replace("-", "−");
  const size = Math.abs(x);
  const text = size >= 1e5 || size < 1e-3 ? x.toExponential(2) : String(+x.toPrecision(4));
  return text.replaceAll("-", "−").replace("e+", "e");
}

function timeText(microseconds) {
  if (microseconds < 1000) return `${microseconds} µs`;
  const seconds = microseconds / 1e6;
  return seconds < 1 ? `${numberText(seconds * 1e3)} ms` : `${numberText(seconds)} s`;
}

function classOf(path) {
  return modules[path] || "";
}

function siteOf(step) {
  return step.file === undefined ? "" : `${files[step.file].name}:${step.line}`;
}
