// The chart of the live laboratory: loss and accuracy of up to four branches on a canvas. Numbers in, pixels out; no state.
// `store.js` and `face.js` follow it in the same module (the kernel joins the three): no imports, no build step.

/**
 * One run since the beginning.
 * @typedef {{letter: string, name: string, start: number, kept: number[], x: number[], loss: number[],
 *   accuracy: number[], epochs: number[][]}} Branch
 * x: epochs passed at each step; start, kept: steps; epochs: rows of [epoch, running loss and accuracy, training loss and
 * accuracy, watched loss and accuracy]
 */
/**
 * @typedef {{branches: Branch[], current: string, classes: number, evalSplit: string, neighbours: number | null, epochs: number,
 *   marks: [number, string][], planned: {epoch: number, text: string}[], log: boolean, cursor: number | null,
 *   cursorBranch: string, arrives: number | null, hover: number | null}} View
 * epochs: where a run ends; cursor, arrives: steps; hover: epochs
 */
/** @typedef {{left: number, top: number, width: number, height: number, end: number, low: number, high: number,
 *   log: boolean}} Panel */
/** @typedef {{dark: boolean, ink: string, paper: string, grey: string, font: number, line: number}} Look */

// Okabe and Ito's, and lighter ones of the same names for a dark page: all reach 3:1 on their background
const HUES = {light: ["#0072B2", "#D55E00", "#007F5F", "#A0527F"], dark: ["#56B4E9", "#FF8F3F", "#3CCB9F", "#E69AC4"]};
const KINDS = /** @type {const} */ (["loss", "accuracy"]);
const COLUMN = {loss: {running: 1, training: 3, watched: 5}, accuracy: {running: 2, training: 4, watched: 6}};

/** The hue of a branch; it keeps it as others come and go. @param {string} letter @param {Look} look */
function hueOf(letter, look) {
  return HUES[look.dark ? "dark" : "light"]["ABCD".indexOf(letter)] ?? look.ink;
}

/** Where an axis that grows with the run ends. @param {number} x epochs so far @param {number} most */
function axisEnd(x, most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(x, 0.02)));
  const steps = [1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
  return Math.min(steps.map(step => step * power).find(end => end >= x * 1.005) ?? 10 * power, Math.max(most, x));
}

/** A share of the values lies below it; looks at no more than 1000 of them. @param {number[]} values @param {number} q */
function quantile(values, q) {
  const stride = Math.max(1, Math.floor(values.length / 1000));
  const some = values.filter((value, i) => i % stride === 0 && Number.isFinite(value)).sort((a, b) => a - b);
  return some.length ? some[Math.min(some.length - 1, Math.floor(q * some.length))] : NaN;
}

/** Range of the loss: a spike of the first steps or a diverging run must not flatten all else. @param {View} view */
function lossRange(view) {
  const guess = Math.log(view.classes);
  let high = 0, low = guess, top = guess;
  for (const branch of view.branches) {
    high = Math.max(high, 1.2 * quantile(branch.loss, 0.9) || 0);
    for (const row of branch.epochs) for (const column of [3, 5]) {
      high = Math.max(high, row[column]);
      low = Math.min(low, row[column]);
      top = Math.max(top, row[column]);
    }
    for (const loss of branch.loss) {
      if (loss > 0 && loss < low) low = loss;
      if (loss > top) top = loss;
    }
  }
  if (view.log) return [Math.max(low, 1e-6) / 1.3, top * 1.3];
  return [0, Math.min(Math.max(1.06 * high, 1.12 * guess), 3 * guess)];
}

/** @param {Panel} panel @param {number} x epochs */
const across = (panel, x) => panel.left + (x / panel.end) * panel.width;
/** @param {Panel} panel @param {number} y */
function upwards(panel, y) {
  const share = panel.log ? Math.log(y / panel.low) / Math.log(panel.high / panel.low)
    : (y - panel.low) / (panel.high - panel.low);
  return panel.top + panel.height * (1 - share);
}

/**
 * Places for names at the ends of lines: at their own height or as near to it as no other name is in the way.
 * @param {{x: number, y: number, wide: number}[]} wanted the first come first
 * @param {number} gap @param {number} low @param {number} high @returns {number[]}
 */
function placed(wanted, gap, low, high) {
  /** @type {{x: number, y: number, wide: number}[]} */
  const taken = [];
  return wanted.map(({x, y, wide}) => {
    const own = Math.min(Math.max(y, low), high);
    const free = (/** @type {number} */ at) => at >= low && at <= high && taken.every(other =>
      Math.abs(other.y - at) >= gap || other.x >= x + wide || x >= other.x + other.wide);
    const steps = Array.from({length: 80}, (_, i) => own + (i % 2 ? 1 : -1) * Math.ceil(i / 2) * gap / 4);
    const found = steps.find(free) ?? own;
    taken.push({x, y: found, wide});
    return found;
  });
}

/** Round numbers along an axis. @param {number} low @param {number} high @param {number} count @param {boolean} log */
function ticks(low, high, count, log) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const digit of high / low > 300 ? [1] : [1, 2, 5]) found.push(digit * 10 ** power);
    return found.filter(value => value >= low && value <= high);
  }
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(digit => digit * power).find(size => size >= rough) ?? rough;
  return Array.from({length: Math.floor(high / step) + 1}, (_, i) => i * step).filter(value => value >= low);
}

/** A number in few characters. @param {number} value */
function brief(value) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6) return value.toExponential(1);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

/** Where the two panels lie and what they show. @param {View} view @param {number} width @param {number} height
 * @param {Look} look @returns {Record<"loss" | "accuracy", Panel>} */
function panels(view, width, height, look) {
  const room = look.font * 7.4, stacked = width < 480;
  const high = stacked ? height / 2 : height, wide = stacked ? width : width / 2;
  const latest = Math.max(...view.branches.map(branch => branch.x[branch.x.length - 1] ?? 0), 0);
  const perStep = view.branches[0]?.x[0] ?? 0.1;
  const next = view.planned[0]?.epoch ?? 0;  // what is planned soon is shown ahead
  const end = axisEnd(Math.max(latest, 4 * perStep, next <= 4 * Math.max(latest, 1) ? 1.1 * next : 0), view.epochs);
  const [low, top] = lossRange(view);
  const make = (/** @type {number} */ place, /** @type {number} */ least, /** @type {number} */ most, log = false) => ({
    left: (stacked ? 0 : place * wide) + look.font * 3.2, top: (stacked ? place * high : 0) + look.font * 1.7, end,
    width: wide - look.font * 3.2 - room, height: high - look.font * 4.6, low: least, high: most, log,
  });
  return {loss: make(0, low, top, view.log), accuracy: make(1, 0, 100)};
}

/** Draw all of it. @param {CanvasRenderingContext2D} ctx @param {View} view @param {number} width CSS pixels
 * @param {number} height @param {Look} look */
function drawChart(ctx, view, width, height, look) {
  ctx.fillStyle = look.paper;
  ctx.fillRect(0, 0, width, height);
  ctx.font = `${look.font}px sans-serif`;
  const places = panels(view, width, height, look);
  for (const kind of KINDS) drawPanel(ctx, view, kind, places[kind], look);
  return places;
}

/** @param {CanvasRenderingContext2D} ctx @param {View} view @param {"loss" | "accuracy"} kind @param {Panel} panel
 * @param {Look} look */
function drawPanel(ctx, view, kind, panel, look) {
  drawAxes(ctx, kind, panel, look);
  /** @type {{text: string, x: number, y: number, colour: string}[]} */
  const labels = [];
  const level = (/** @type {number} */ y, /** @type {string} */ text) => {
    if (!(y >= panel.low && y <= panel.high)) return;
    line(ctx, [[panel.left, upwards(panel, y)], [panel.left + panel.width, upwards(panel, y)]], look.grey, 1, [2, 3]);
    labels.push({text, x: panel.left + panel.width, y: upwards(panel, y), colour: look.grey});
  };
  level(kind === "loss" ? Math.log(view.classes) : 100 / view.classes, "guessing");
  if (kind === "accuracy" && view.neighbours !== null) level(100 * view.neighbours, "k-NN");
  drawMarks(ctx, view, kind, panel, look);
  ctx.save();
  ctx.beginPath();
  ctx.rect(panel.left, panel.top - 1, panel.width + 2, panel.height + 2);
  ctx.clip();
  const ends = view.branches.flatMap(branch => drawBranch(ctx, view, branch, kind, panel, look));
  ctx.restore();
  for (const branch of view.branches) if (branch.letter === view.current) drawBest(ctx, view, branch, kind, panel, look);
  if (kind === "loss" && !panel.log) drawOffScale(ctx, view, panel, look);
  drawPlaces(ctx, view, panel, look);
  drawLabels(ctx, [...labels, ...ends], panel, look);
}

/** @param {CanvasRenderingContext2D} ctx @param {"loss" | "accuracy"} kind @param {Panel} panel @param {Look} look */
function drawAxes(ctx, kind, panel, look) {
  const bottom = panel.top + panel.height;
  line(ctx, [[panel.left, panel.top], [panel.left, bottom], [panel.left + panel.width, bottom]], look.ink, 1);
  ctx.fillStyle = look.ink;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const value of ticks(panel.low, panel.high, 5, panel.log)) {
    const y = upwards(panel, value);
    line(ctx, [[panel.left - 3, y], [panel.left, y]], look.ink, 1);
    ctx.fillText(brief(value), panel.left - 5, y);
  }
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  for (const value of ticks(0, panel.end, 5, false)) {
    line(ctx, [[across(panel, value), bottom], [across(panel, value), bottom + 3]], look.ink, 1);
    ctx.fillText(brief(value), across(panel, value), bottom + 5);
  }
  ctx.fillText("epoch", panel.left + panel.width / 2, bottom + 5 + look.font * 1.15);
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  ctx.fillText(kind === "loss" ? `loss (nats${panel.log ? ", logarithmic" : ""})` : "accuracy (%)", panel.left - look.font * 3,
    panel.top - 4);
}

/** One branch's lines; the labels for their ends. @param {CanvasRenderingContext2D} ctx @param {View} view
 * @param {Branch} branch @param {"loss" | "accuracy"} kind @param {Panel} panel @param {Look} look */
function drawBranch(ctx, view, branch, kind, panel, look) {
  const alone = view.branches.length === 1, trains = branch.letter === view.current, scale = kind === "loss" ? 1 : 100;
  const hues = HUES[look.dark ? "dark" : "light"];
  const own = alone ? {training: hues[0], watched: hues[1]}
    : {training: hueOf(branch.letter, look), watched: hueOf(branch.letter, look)};
  const begins = branch.start ? branch.x[branch.start - 1] : 0;
  const labels = [];
  const at = (/** @type {number} */ x, /** @type {number} */ y) => /** @type {[number, number]} */ ([across(panel, x),
    upwards(panel, Math.max(scale * y, panel.log ? panel.low : -Infinity))]);
  ctx.globalAlpha = trains ? 0.45 : 0.2;
  line(ctx, thinned(branch.x, branch[kind], branch.start, panel).map(([x, y]) => at(x, y)), own.training, 1);
  ctx.globalAlpha = 1;
  // with one epoch of the branch it left, so that the line begins there
  const first = Math.max(branch.epochs.findIndex(row => row[0] >= begins) - (branch.start ? 1 : 0), 0);
  const rows = branch.epochs.some(row => row[0] >= begins) ? branch.epochs.slice(first) : [];
  for (const [name, dash, colour, thick] of /** @type {["running" | "training" | "watched", number[], string, number][]} */ (
    [["running", [1, 3], own.training, 0.7], ["training", [], own.training, 1], ["watched", [6, 4], own.watched, 1]])) {
    const points = rows.map(row => at(row[0], row[COLUMN[kind][name]]));
    line(ctx, points, colour, look.line * thick * (trains ? 1 : 0.75), dash);
    if (!points.length) continue;
    if (points.length < 4 && name !== "running") for (const [x, y] of points) disc(ctx, x, y, look.line + 1, colour, colour);
    const [x, y] = points[points.length - 1];
    const said = {running: "", training: "training", watched: view.evalSplit}[name];
    if (said) labels.push({text: alone ? said : `${branch.letter} ${said}`, x, y, colour});
  }
  if (!rows.length && branch.x.length > branch.start) {  // no epoch has ended: the batches are named
    const last = branch.x.length - 1, recent = branch[kind].slice(-10);
    const [x, y] = at(branch.x[last], recent.reduce((sum, value) => sum + value, 0) / recent.length);
    labels.push({text: alone ? "each batch" : `${branch.letter} each batch`, x, y, colour: own.training});
  }
  return labels;
}

/** The epoch with the least watched loss. @param {Branch} branch @returns {number[] | null} */
function bestOf(branch) {
  return branch.epochs.reduce((least, row) => (!least || row[5] < least[5] ? row : least), /** @type {any} */ (null));
}

/** A ring at the best epoch. @param {CanvasRenderingContext2D} ctx @param {View} view @param {Branch} branch
 * @param {"loss" | "accuracy"} kind @param {Panel} panel @param {Look} look */
function drawBest(ctx, view, branch, kind, panel, look) {
  const best = bestOf(branch);
  if (!best) return;
  const value = best[COLUMN[kind].watched] * (kind === "loss" ? 1 : 100);
  if (value > panel.high) return;
  const colour = view.branches.length === 1 ? HUES[look.dark ? "dark" : "light"][1] : hueOf(branch.letter, look);
  disc(ctx, across(panel, best[0]), upwards(panel, Math.max(value, panel.low)), look.line + 2.5, look.paper, colour);
}

/** Least and largest of the values in each pixel, so that no spike is lost. @param {number[]} x @param {number[]} y
 * @param {number} start @param {Panel} panel @returns {[number, number][]} */
function thinned(x, y, start, panel) {
  const size = Math.max(1, Math.floor((x.length - start) / panel.width));
  /** @type {[number, number][]} */
  const found = [];
  for (let i = Math.max(start - 1, 0); i < x.length; i += size) {
    let least = i, most = i;
    for (let j = i; j < Math.min(i + size, x.length); j++) {
      if (y[j] < y[least]) least = j;
      if (y[j] > y[most]) most = j;
    }
    for (const j of least < most ? [least, most] : most < least ? [most, least] : [least]) found.push([x[j], y[j]]);
  }
  return found;
}

/** What lies above the axis: for each branch an arrow and the number. @param {CanvasRenderingContext2D} ctx @param {View}
 * view @param {Panel} panel @param {Look} look */
function drawOffScale(ctx, view, panel, look) {
  let free = panel.left + look.font * 3;  // behind the axis' name
  for (const branch of view.branches) {
    const last = branch.loss.length - 1;
    let most = -1;
    for (let i = branch.start; i <= last; i++)
      if (branch.loss[i] > panel.high && (most < 0 || branch.loss[i] > branch.loss[most])) most = i;
    if (most < 0) continue;
    const shown = branch.loss[last] > panel.high ? last : most, text = `▲ ${brief(branch.loss[shown])}`;
    const x = Math.max(across(panel, branch.x[shown]) - look.font / 2, free);
    ctx.fillStyle = view.branches.length === 1 ? look.ink : hueOf(branch.letter, look);
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    ctx.fillText(text, x, panel.top - 4);
    free = x + ctx.measureText(text).width + look.font;
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {View} view @param {"loss" | "accuracy"} kind @param {Panel} panel
 * @param {Look} look */
function drawMarks(ctx, view, kind, panel, look) {
  const bottom = panel.top + panel.height;
  const ahead = view.planned.filter(each => each.epoch <= panel.end).map(each => [each.epoch, `${each.text} (planned)`, true]);
  for (const [x, text, planned] of /** @type {[number, string, boolean?][]} */ ([...view.marks, ...ahead])) {
    const at = across(panel, x);
    line(ctx, [[at, panel.top], [at, bottom]], planned ? look.grey : look.ink, 1, planned ? [1, 4] : [4, 2]);
    if (kind === "accuracy") continue;
    ctx.save();
    ctx.translate(at, bottom - 4);
    ctx.rotate(-Math.PI / 2);
    ctx.textAlign = "left";
    ctx.textBaseline = at > panel.left + look.font * 3 ? "bottom" : "top";  // names of lines stand on the right
    const lines = text.split("\n"), side = ctx.textBaseline === "bottom" ? -1 : 1;
    lines.forEach((part, i) => {
      const y = side * (2 + i * look.font * 1.1), wide = ctx.measureText(part).width;
      ctx.fillStyle = look.paper;
      ctx.globalAlpha = 0.75;
      ctx.fillRect(-1, side > 0 ? y : y - look.font, wide + 2, look.font);
      ctx.globalAlpha = 1;
      ctx.fillStyle = planned ? look.grey : look.ink;
      ctx.fillText(part, 0, y);
    });
    ctx.restore();
  }
}

/** Where one would go back to, and where the pointer is. @param {CanvasRenderingContext2D} ctx @param {View} view
 * @param {Panel} panel @param {Look} look */
function drawPlaces(ctx, view, panel, look) {
  const bottom = panel.top + panel.height, branch = view.branches.find(each => each.letter === view.cursorBranch);
  const place = (/** @type {number} */ step) => across(panel, step ? branch?.x[step - 1] ?? 0 : 0);
  if (view.hover !== null) line(ctx, [[across(panel, view.hover), panel.top], [across(panel, view.hover), bottom]], look.grey, 1);
  if (!branch || view.cursor === null) return;
  const x = place(view.cursor);
  line(ctx, [[x, panel.top], [x, bottom]], look.ink, 2);
  disc(ctx, x, bottom, 5, look.paper, look.ink);
  if (view.arrives !== null) {
    const there = place(view.arrives);
    ctx.fillStyle = look.ink;
    ctx.beginPath();
    ctx.moveTo(there, bottom - 1);
    ctx.lineTo(there - 5, bottom + 8);
    ctx.lineTo(there + 5, bottom + 8);
    ctx.fill();
  }
}

/** Names at the ends of lines, apart from each other and inside the picture, without pointers. @param
 * {CanvasRenderingContext2D} ctx @param {{text: string, x: number, y: number, colour: string}[]} labels
 * @param {Panel} panel @param {Look} look */
function drawLabels(ctx, labels, panel, look) {
  const wanted = labels.map(label => ({x: Math.min(label.x, panel.left + panel.width) + 7, y: label.y,
    wide: ctx.measureText(label.text).width + 4}));
  const places = placed(wanted, look.font * 1.15, panel.top + 2, panel.top + panel.height - 2);
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  labels.forEach((label, i) => {
    ctx.fillStyle = look.paper;
    ctx.globalAlpha = 0.8;
    ctx.fillRect(wanted[i].x - 2, places[i] - look.font * 0.55, wanted[i].wide, look.font * 1.1);
    ctx.globalAlpha = 1;
    ctx.fillStyle = label.colour;
    ctx.fillText(label.text, wanted[i].x, places[i]);
  });
}

/** @param {CanvasRenderingContext2D} ctx @param {[number, number][]} points @param {string} colour @param {number} width
 * @param {number[]} [dash] */
function line(ctx, points, colour, width, dash = []) {
  if (points.length < 2) return;
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  ctx.beginPath();
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
  ctx.setLineDash([]);
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} radius @param {string} fill
 * @param {string} edge */
function disc(ctx, x, y, radius, fill, edge) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
  ctx.strokeStyle = edge;
  ctx.lineWidth = 1.5;
  ctx.stroke();
}
