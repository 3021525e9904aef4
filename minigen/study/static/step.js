// The current step: its formula or rule, and each value that goes in, comes out or was kept.

function updateStep(step) {
  const back = Boolean(step.back);
  const parts = [stepHead(step), ...ruleParts(step)];
  const shown = new Set();
  const cards = numbers => [...new Set(numbers)].map(i => {
    shown.add(i);
    return valueCard(values[i], step);
  });
  const add = (title, numbers, empty) => {
    const made = cards(numbers);
    if (!made.length && !empty) return;
    parts.push(element("h3", {}, title));
    parts.push(made.length ? element("div", { class: "cards" }, ...made)
      : element("p", { class: "note" }, empty));
  };
  if (back) {
    add("cotangent of the result", step.in);
    add("cotangents of the arguments", step.out, "No argument wanted a cotangent.");
    add(step.call === undefined ? "read by the rule" : `kept since step ${step.call}`, step.saved);
  } else {
    add("takes", step.in, "No arrays.");
    add("gives", step.out);
    parts.push(...keptParts(step, shown));
  }
  byId("step").replaceChildren(...parts);
  byId("step").scrollTop = 0;
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
    links.push(["not in the graph: no gradient flows back through it"]);
  }
  if (!step.back && step.recorded && passes.length && !step.derivatives.length) {
    links.push(["no backward pass came through it"]);
  }
  links.forEach(link => head.append(element("p", { class: "facts" }, ...link)));
  return head;
}

function ruleParts(step) {
  const parts = [];
  const code = number => element("pre", { class: "rule", tabindex: "0" }, texts[number]);
  if (step.about !== undefined) parts.push(element("p", { class: "about" }, texts[step.about]));
  if (step.static !== undefined) {
    const settings = element("code", {}, texts[step.static]);
    parts.push(element("p", { class: "facts" }, "settings: ", settings));
  }
  const main = step.definition ?? step.rule;
  if (main !== undefined) {
    const forward = step.definition === undefined ? "computes" : "definition";
    parts.push(element("h3", {}, step.back ? "derivative rule" : forward), code(main));
  }
  if (step.definition !== undefined && step.rule !== undefined) {
    const summary = element("summary", {}, "the faster forward");
    parts.push(element("details", {}, summary, code(step.rule)));
  }
  return parts;
}

function keptParts(step, shown) {
  if (!step.saved.length) return [];
  const parts = [element("h3", {}, "kept for backward")];
  const names = step.saved.map(i => nameOf(values[i]));
  const by = step.derivatives.map(n => stepLink(n));
  parts.push(element("p", { class: "facts" }, names.join(", "),
    ...(by.length ? [", for ", ...joined(by)] : [])));
  const rest = step.saved.filter(i => !shown.has(i));
  if (rest.length) {
    parts.push(element("div", { class: "cards" }, ...rest.map(i => valueCard(values[i], step))));
  }
  return parts;
}

// --------------------------------------------------------------------------------- a value's card

function valueCard(value, step) {
  const facts = value.facts;
  const lines = factLines(value);
  const label = `${nameOf(value)}, ${shapeText(value.shape)}, ${value.dtype}. ${lines.join(". ")}`;
  const reading = element("p", { class: "reading", "aria-hidden": "true" }, " ");
  const card = element("figure", { class: isBad(value) ? "card not-finite" : "card" });
  if (facts.kind && facts.cells) {
    const kind = facts.kind === "bars" ? "bars" : facts.kind === "image" ? "images" : "heat map";
    const picture = (facts.kind === "bars" ? bars : heatMap)(facts, `${kind} of ${label}`);
    picture.addEventListener("pointermove", event => {
      reading.textContent = valueUnder(facts, event) || " ";
    });
    picture.addEventListener("pointerleave", () => { reading.textContent = " "; });
    card.append(picture, reading);
  } else if (facts.min !== undefined && value.shape.every(n => n === 1)) {
    card.append(element("p", { class: "scalar" }, numberText(facts.min)));
  } else if (facts.nan || facts.inf) {
    card.append(element("p", { class: "scalar" }, facts.nan ? "NaN" : "±∞"));
  }
  card.append(element("figcaption", {},
    element("p", { class: "value-name" }, element("b", {}, nameOf(value)),
      " ", element("span", { class: "unbroken" }, shapeText(value.shape)),
      element("span", { class: "dtype" }, ` ${value.dtype}, ${bytesText(value.bytes)}`)),
    ...lines.map(line => element("p", { class: "facts" }, line)),
    ...legend(facts), ...originLines(value, step)));
  return card;
}

function factLines(value) {
  const { min, mean, max, zeros, nan, inf, at, drawn, whole, kind } = value.facts;
  const lines = [];
  if (nan || inf) {
    const parts = [nan ? `${nan} NaN` : "", inf ? `${inf} infinite` : ""].filter(Boolean);
    lines.push(`${parts.join(", ")}, first at [${at.join(", ")}]`);
  }
  if (min !== undefined && value.shape.some(n => n !== 1)) {
    lines.push(`${numberText(min)} … ${numberText(max)}, mean ${numberText(mean)}`);
    if (zeros >= 0.01) lines.push(`${Math.round(zeros * 100)} % zeros`);
  }
  if (value.picture === undefined && data.kept) lines.push("not kept");
  if (kind && kind !== "bars") {
    const [tiles, rows, columns] = drawn, parts = [];
    const unit = kind === "image" ? "images" : "matrices";
    const first = tiles > 1 ? `the first ${tiles}` : "the first";
    if (tiles < whole[0]) parts.push(`${first} of ${whole[0]} ${unit}`);
    const cut = [[rows, whole[1], "rows"], [columns, whole[2], "columns"]];
    for (const [n, all, name] of cut) {
      if (kind === "matrix" && n < all) parts.push(`first and last of ${all} ${name}`);
    }
    if (parts.length) lines.push(`drawn: ${parts.join(", ")}`);
  } else if (kind === "bars" && Math.max(drawn[1], drawn[2]) < Math.max(whole[1], whole[2])) {
    lines.push(`drawn: first and last of ${Math.max(whole[1], whole[2])}`);
  }
  return lines;
}

function legend(facts) {
  const isPlain = facts.kind === "bars" || facts.zeros === 1;
  if (!facts.cells || facts.palette || isPlain) return [];
  const end = numberText(facts.scale);
  return [element("p", { class: "legend", "aria-hidden": "true" },
    `−${end}`, element("span", { class: "ramp" }), `+${end}`)];
}

// Where a value comes from, which steps use it, and its cotangent.
function originLines(value, step) {
  const lines = [];
  if (value.of !== undefined) {
    const of = values[value.of];
    const isMade = of.step !== undefined;
    const name = isMade ? stepLink(of.step, nameOf(of)) : element("b", {}, nameOf(of));
    lines.push(["cotangent of ", name]);
  }
  if (value.terms && value.terms.length > 1) lines.push(sumLine(value));
  const others = value.usedBy.filter(n => n !== step.number);
  if (value.step !== undefined && value.step !== step.number) {
    lines.push(["made by ", stepLink(value.step, `${value.step} ${steps[value.step].op}`)]);
  } else if (value.step === undefined && value.role !== "cotangent") {
    lines.push([value.role]);
  }
  if (others.length) lines.push(["used by ", ...fewLinks(others)]);
  const keepers = value.keptBy.filter(n => n !== step.number && n !== step.call);
  if (keepers.length) lines.push(["kept for backward by ", ...fewLinks(keepers)]);
  if (step.cut && step.cut.includes(value.number)) {
    lines.push(["detached: no gradient flows back to it from here"]);
  }
  if (value.role !== "cotangent") lines.push(...cotangentLines(value));
  if (value.until !== undefined) lines.push(["in memory until ", stepLink(value.until)]);
  return lines.map(line => element("p", { class: "facts" }, ...line));
}

function sumLine(value) {
  const terms = value.terms.map((i, k) => {
    const made = values[i].step;
    const text = `g${k + 1}`;
    return [made === undefined ? text : stepLink(made, text), ` (${nameOf(values[i])})`];
  });
  return [element("b", {}, "g"), " = ", ...joined(terms, " + ").flat()];
}

function cotangentLines(value) {
  const found = [...new Set([...(gradients.get(value.number) || []), ...value.cotangents])];
  if (!passes.length || value.dtype.startsWith("int") || value.dtype.startsWith("bool")) return [];
  if (!found.length) {
    return value.role === "parameter" ? [["no gradient reached it"]] : [];
  }
  const title = value.role === "parameter" ? "gradient: " : "cotangent: ";
  const terms = new Set(found.flatMap(i => values[i].terms || []));
  const whole = found.filter(i => !terms.has(i)).slice(0, 6);
  return [[title, ...joined(whole.map(cotangentLink)).flat()]];
}

// "v36", and where several cotangents have met "v36 = v28 + v31".
function cotangentLink(i) {
  const { step, usedBy, terms } = values[i];
  const link = (j, at) => (at === undefined ? nameOf(values[j]) : stepLink(at, nameOf(values[j])));
  const own = link(i, step ?? usedBy[0] ?? lastTerm(values[i]));
  if (!terms || terms.length < 2) return [own];
  return [own, " = ", ...joined(terms.map(j => link(j, values[j].step)), " + ")];
}

function lastTerm(value) {
  const term = (value.terms || []).at(-1);
  return term === undefined ? undefined : values[term].step;
}

function fewLinks(numbers) {
  const shown = numbers.slice(0, 6).map(n => stepLink(n, String(n)));
  const rest = numbers.length - shown.length;
  return [...joined(shown), rest ? ` and ${rest} more` : ""];
}
