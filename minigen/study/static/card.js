// The card of a value: its picture, its range, and which steps make, use and keep it.

function valueCard(value, step, label) {
  const facts = value.facts;
  const lines = factLines(value);
  const text = `${nameOf(value)}, ${shapeText(value.shape)}, ${value.dtype}. ${lines.join(". ")}`;
  const card = element("figure", { class: isBad(value) ? "card not-finite" : "card" },
    element("p", { class: "label" }, ...label));
  if (facts.cells) card.append(...pictureParts(facts, text));
  else if (oneNumber(value)) {
    const isWorth = isBad(value) || (isAllZero(value) && isFloat(value) && value.shape.length);
    const kind = isWorth ? "scalar worth-a-look" : "scalar";
    card.append(element("p", { class: kind }, oneNumber(value)));
  }
  card.append(element("figcaption", {},
    element("p", { class: "value-name" }, element("b", {}, nameOf(value)),
      " ", element("span", { class: "unbroken" }, shapeText(value.shape)),
      element("span", { class: "dtype" }, ` ${value.dtype}, ${bytesText(value.bytes)}`)),
    ...legend(facts), ...lines.map(line => element("p", { class: "facts" }, line)),
    ...originLines(value, step)));
  return card;
}

function pictureParts(facts, text) {
  const kind = facts.kind === "bars" ? "bars" : facts.kind === "image" ? "images" : "heat map";
  const picture = (facts.kind === "bars" ? bars : heatMap)(facts, `${kind} of ${text}`);
  const reading = element("p", { class: "reading", "aria-hidden": "true" }, " ");
  picture.addEventListener("pointermove", event => {
    reading.textContent = valueUnder(facts, event) || " ";
  });
  picture.addEventListener("pointerleave", () => { reading.textContent = " "; });
  return [picture, reading];
}

// The number that a value is, or is everywhere; "" where it has several, or is not known.
function oneNumber({ facts, shape, dtype }) {
  if (facts.cells || (facts.min === undefined && !isBad({ facts }))) return "";
  const number = facts.min !== undefined ? numberText(facts.min)
    : facts.nan ? "NaN" : facts.minus ? "−∞" : "+∞";
  const isTruth = dtype === "bool";
  const text = isTruth ? (numberOf(facts.min) ? "true" : "false") : number;
  return shape.every(n => n === 1) ? text : `${text} everywhere`;
}

function factLines(value) {
  const { min, mean, max, zeros, nan, inf, at, drawn, whole, kind, beyond } = value.facts;
  const lines = [];
  if (nan || inf) lines.push(`${notFiniteText(value.facts)}, first at [${at.join(", ")}]`);
  if (min !== undefined && !oneNumber(value)) {
    const of = nan || inf ? "what is finite: " : "";
    lines.push(`${of}${numberText(min)} … ${numberText(max)}, mean ${numberText(mean)}`);
    if (zeros > 0) lines.push(`${zeros < 0.01 ? "less than 1" : Math.round(zeros * 100)} % zeros`);
  }
  if (value.picture === undefined && data.kept) lines.push("not kept");
  if (beyond) lines.push(`${beyond} ${beyond > 1 ? "values are" : "value is"} beyond the scale`);
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
  if (!facts.cells || facts.palette || (facts.kind === "bars" && !facts.middle)) return [];
  const middle = numberOf(facts.middle || 0), scale = numberOf(facts.scale);
  const sign = x => (x > 0 && !middle ? "+" : "");
  const ends = [middle - scale, middle + scale].map(x => sign(x) + numberText(x));
  const isPoints = facts.kind === "bars";
  const ramp = element("span", { class: middle ? "ramp shades" : "ramp" });
  return [element("p", { class: "legend", "aria-hidden": "true" },
    ...(isPoints ? [`from ${ends[0]} to ${ends[1]}, without 0`] : [ends[0], ramp, ends[1]]))];
}

// Where a value comes from, which steps use it, and its cotangent.
function originLines(value, step) {
  const facts = [], lines = [];
  const cut = step.back ? null : cutText(step, value.number);
  const warn = text => lines.push(element("p", { class: "remark" }, ...text));
  if (cut) warn(cut);
  const taken = (detachedIn.get(value.number) || []).filter(n => n !== step.number);
  if (taken.length) warn(["taken detached by ", ...fewLinks(taken)]);
  if (value.of !== undefined) {
    const of = values[value.of];
    const isMade = of.step !== undefined;
    const name = isMade ? stepLink(of.step, nameOf(of)) : element("b", {}, nameOf(of));
    facts.push(["cotangent of ", name]);
  }
  if (value.step !== undefined && value.step !== step.number) {
    facts.push(["made by ", stepLink(value.step, stepName(value.step))]);
  } else if (value.step === undefined && value.role !== "cotangent") {
    facts.push([value.role]);
  }
  const others = value.usedBy.filter(n => n !== step.number);
  if (others.length) facts.push(["used by ", ...fewLinks(others)]);
  const keepers = value.keptBy.filter(n => n !== step.call);
  if (keepers.length) facts.push(["kept for backward by ", ...fewLinks(keepers, step.number)]);
  if (value.until !== undefined) facts.push(["in memory until ", stepLink(value.until)]);
  const paragraph = line => element("p", { class: "facts" }, ...line);
  if (facts.length) lines.push(paragraph(joined(facts, " · ").flat()));
  if (value.terms && value.terms.length > 1) lines.push(paragraph(sumLine(value)));
  for (const sum of sumsWith(value.number)) lines.push(paragraph(partLine(value, sum)));
  if (value.role !== "cotangent") lines.push(...cotangentLines(value).map(paragraph));
  return lines;
}

function sumLine(value) {
  return [element("b", {}, nameOf(value)), " = ", ...joined(value.terms.map(termLink), " + ")];
}

function termLink(i) {
  const made = values[i].step;
  return made === undefined ? nameOf(values[i]) : stepLink(made, nameOf(values[i]));
}

// The sums that a cotangent is a term of, and the step at which one is complete.
function sumsWith(number) {
  const of = values[number].of;
  const found = of === undefined ? [] : [...values[of].cotangents, ...(gradients.get(of) || [])];
  return [...new Set(found)].map(i => values[i]).filter(
    value => (value.terms || []).length > 1 && value.terms.includes(number));
}

function partLine(value, sum) {
  const last = lastTerm(sum);
  const at = value.step === last ? ["complete here"] : ["complete at ", stepLink(last)];
  return [`one of ${sum.terms.length} terms of ${nameOf(sum)}, `, ...at];
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

// "v36", and where several cotangents have met "v36 = v28 + v31": the link shows it complete.
function cotangentLink(i) {
  const { step, usedBy, terms } = values[i];
  const at = step ?? lastTerm(values[i]) ?? usedBy[0];
  const own = at === undefined ? nameOf(values[i]) : stepLink(at, nameOf(values[i]));
  if (!terms || terms.length < 2) return [own];
  return [own, " = ", ...joined(terms.map(termLink), " + ")];
}

function lastTerm(value) {
  const term = (value.terms || []).at(-1);
  return term === undefined ? undefined : values[term].step;
}

function fewLinks(numbers, own) {
  const link = n => (n === own ? `${n} (this step)` : stepLink(n, String(n)));
  const shown = numbers.slice(0, 6).map(link);
  const rest = numbers.length - shown.length;
  return [...joined(shown), rest ? ` and ${rest} more` : ""];
}
