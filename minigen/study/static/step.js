// The current step: what is worth a look, each value that goes in, comes out or was kept, its rule.

const SHORT = 3; // lines of a rule that stands above the values; a longer one is below them

function updateStep(step) {
  const shown = new Set();
  const cards = [];
  const add = (verb, numbers, nameAt) => numbers.forEach((number, i) => {
    if (shown.has(number)) return;
    shown.add(number);
    const same = numbers.flatMap((n, k) => (n === number ? [nameAt(n, k)] : []));
    const name = [...new Set(same)].filter(Boolean).join(" and ");
    const label = name ? [`${verb} `, element("b", {}, name)] : [verb];
    cards.push(valueCard(values[number], step, label));
  });
  if (step.back) {
    const call = steps[step.call], outNames = namesOfCotangents(step);
    add("takes", step.in, () => "g");
    add("gives", step.out, (_, i) => outNames[i]);
    for (const sum of sumsCompleteAt(step)) {
      add("completes the sum", [sum.number], () => `g of ${nameOf(values[sum.of])}`);
    }
    add("reads", step.saved, number => (call ? nameInCall(call, number) : ""));
  } else {
    add("takes", step.in, (_, i) => argumentNames(step)[i]);
    add("gives", step.out, (_, i) => (step.out.length > 1 ? `y[${i}]` : "y"));
    add("keeps", step.saved, number => nameInCall(step, number));
  }
  const [above, below] = ruleParts(step);
  byId("step").replaceChildren(stepHead(step), ...above,
    element("div", { class: "cards" }, ...cards), ...keptLine(step), ...below);
  byId("step").scrollTop = 0;
}

function argumentNames(step) {
  return step.names === undefined ? [] : texts[step.names].split(" ");
}

// What the rules call a value of a forward step: an argument, y, or what a fused op kept besides.
function nameInCall(call, number) {
  const at = call.in.indexOf(number);
  if (at >= 0) return argumentNames(call)[at];
  const out = call.out.indexOf(number);
  if (out >= 0) return call.out.length > 1 ? `y[${out}]` : "y";
  const names = call.residuals === undefined ? [] : texts[call.residuals].split(" ");
  const made = call.saved.filter(i => !call.in.includes(i) && !call.out.includes(i));
  const i = made.indexOf(number);
  return names.length === 1 && made.length > 1 ? `${names[0]}[${i}]` : names[i] || "";
}

// "gx", "gweight": of each cotangent that a backward step gives.
function namesOfCotangents(step) {
  const call = steps[step.call];
  if (!call) return [];
  const rest = call.in.map((number, i) => [number, argumentNames(call)[i]]);
  return step.out.map(i => {
    const at = rest.findIndex(([number]) => number === values[i].of);
    return at < 0 ? "" : `g${rest.splice(at, 1)[0][1]}`;
  });
}

// The sums of cotangents whose last term this step gives, where no op added them.
function sumsCompleteAt(step) {
  const found = step.out.flatMap(sumsWith);
  return [...new Set(found)].filter(
    sum => sum.step === undefined && lastTerm(sum) === step.number);
}

function stepHead(step) {
  const head = element("div", { class: step.back ? "head back" : "head" });
  head.append(element("h2", {}, arrow(step.back), ` ${step.op} `,
    element("span", { class: "kind" }, step.back ? "backward" : "forward")));
  const facts = [];
  const where = [step.module, step.class].filter(Boolean);
  if (where.length) facts.push([where.join(" · ")]);
  if (step.file !== undefined) facts.push([siteOf(step)]);
  facts.push([timeText(step.us || 0)], [bytesText(step.bytes || 0)]);
  head.append(element("p", { class: "facts" }, ...joined(facts, " — ").flat()));
  const links = [];
  if (step.call !== undefined) links.push(["derivative of ", stepLink(step.call)]);
  if (step.derivatives.length) {
    links.push(["its derivative: ", ...joined(step.derivatives.map(n => stepLink(n)))]);
  }
  if (step.inside !== undefined) {
    links.push(["called by the rule of ", stepLink(step.inside)]);
  }
  if (!step.back && !step.recorded) {
    const [text, isStrong] = outsideRemark(step);
    if (!isStrong) links.push(text);
  }
  if (!step.back && step.recorded && passes.length && !step.derivatives.length) {
    links.push(["no backward pass came through it"]);
  }
  links.forEach(link => head.append(element("p", { class: "facts" }, ...link)));
  remarksOn(step).forEach(text => head.append(element("p", { class: "remark" }, ...text)));
  return head;
}

// [above, below] the values: what the op computes, or the rule. What is long is below.
function ruleParts(step) {
  const above = [], below = [];
  const code = number => element("pre", { class: "rule", tabindex: "0" }, texts[number]);
  if (step.about !== undefined) above.push(element("p", { class: "about" }, texts[step.about]));
  if (step.static !== undefined) {
    const settings = element("code", {}, texts[step.static]);
    above.push(element("p", { class: "facts" }, "with ", settings));
  }
  const main = step.definition ?? step.rule;
  if (main !== undefined) {
    const forward = step.definition === undefined ? "computes" : "definition";
    const parts = texts[main].split("\n").length <= SHORT && step.back ? above : below;
    parts.push(element("h3", {}, step.back ? "derivative rule" : forward), code(main));
  }
  if (step.definition !== undefined && step.rule !== undefined) {
    const summary = element("summary", {}, "the faster forward");
    below.push(element("details", {}, summary, code(step.rule)));
  }
  return [above, below];
}

function keptLine(step) {
  if (step.back || !step.saved.length) return [];
  const names = step.saved.map(i => nameInCall(step, i) || nameOf(values[i]));
  const by = step.derivatives.map(n => stepLink(n));
  return [element("p", { class: "facts kept" }, "kept for backward: ", names.join(", "),
    ...(by.length ? [", for ", ...joined(by)] : []))];
}
