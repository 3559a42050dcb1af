// The page of the live laboratory around its chart. Each view draws when something has changed, at the browser's own pace.
// Follows `chart.js` and `store.js` in the same module (the kernel joins the three): no imports, no build step.

const ASLEEP = 1500;  // milliseconds without an answer before the page says what it waits for
const READ = 250;  // between two numbers while it trains: nobody reads faster, and each costs the page a layout
const SPEAK = 6000;  // between two announcements while it trains: a screen reader reads each of them out
const GONE = "The kernel of this laboratory is gone; this is what it had shown. Run the cell again to start a new one.";

/** An element. @param {string} tag @param {Record<string, any>} [given] @param {...(Node | string)} children */
function make(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  made.setAttribute("data-lm-suppress-shortcuts", "");  // Notebook 7 would take the arrow keys of whatever has the focus
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return /** @type {any} */ (made);
}

/** The controls of the knobs; what is asked for waits, visibly, until the kernel confirms it. @param {any} store */
function makeKnobs(store) {
  const box = make("div", {class: "knobs"});
  /** @type {Record<string, {show: (value: any) => void, row: HTMLElement}>} */
  const controls = {};
  const turn = (/** @type {string} */ name, /** @type {any} */ value) => store.ask("knobs", {[name]: value}, name);
  const number = (/** @type {any} */ knob) => {
    const at = (/** @type {number} */ value) => knob.stops.reduce(
      (/** @type {number} */ best, /** @type {number} */ stop, /** @type {number} */ i) =>
        Math.abs(stop - value) < Math.abs(knob.stops[best] - value) ? i : best, 0);
    const range = make("input", {type: "range", min: 0, max: knob.stops.length - 1, "aria-label": knob.label});
    const typed = make("input", {type: "number", step: "any", "aria-label": `${knob.label}, number`});
    const stand = (/** @type {number | null} */ value) => {
      range.value = String(at(value ?? knob.built));
      range.setAttribute("aria-valuetext", value === null ? "as built" : String(value));
    };
    range.addEventListener("input", () => {
      typed.value = String(knob.stops[Number(range.value)]);
      range.setAttribute("aria-valuetext", typed.value);
      turn(knob.name, knob.stops[Number(range.value)]);
    });
    let edited = false;  // what somebody is typing is not overwritten by what the kernel says
    typed.addEventListener("input", () => { edited = true; });
    typed.addEventListener("blur", () => { edited = false; });
    typed.addEventListener("change", () => {
      edited = false;
      if (typed.value !== "") turn(knob.name, Number(typed.value));
      else if (knob.built !== undefined) turn(knob.name, null);  // emptied: as the network was built
    });
    return {parts: [range, typed], show: (/** @type {number | null} */ value) => {
      stand(value);
      if (!edited) typed.value = value === null ? "" : brief(value);
      typed.placeholder = knob.built === undefined ? "" : "as built";
    }};
  };
  const choice = (/** @type {any} */ knob) => {
    const list = make("select", {"aria-label": knob.label}, ...knob.options.map((/** @type {string[]} */ [value, text]) =>
      make("option", {value}, text)));
    list.addEventListener("change", () => turn(knob.name, list.value));
    return {parts: [list], show: (/** @type {string} */ value) => { list.value = value; }};
  };
  const tick = (/** @type {any} */ knob) => {
    const mark = make("input", {type: "checkbox", "aria-label": knob.label});
    mark.addEventListener("change", () => turn(knob.name, mark.checked));
    return {parts: [mark], show: (/** @type {boolean} */ value) => { mark.checked = value; }};
  };
  for (const knob of store.settings.knobs) {
    const {parts, show} = knob.stops ? number(knob) : knob.options ? choice(knob) : tick(knob);
    const row = make("div", {class: `knob ${knob.stops ? "slides" : ""}`}, make("span", {"aria-hidden": true}, knob.short), ...parts);
    box.append(row);
    controls[knob.name] = {show, row};
  }
  return {box, update() {
    const knobs = store.state.knobs, decoupled = knobs.optimizer === "adamw";
    for (const [name, {show, row}] of Object.entries(controls)) {
      const waits = store.sent.has(name);
      row.classList.toggle("pending", waits);
      row.classList.toggle("idle", name === (decoupled ? "l2" : "weight_decay"));
      row.title = row.classList.contains("idle") ? `counts with ${decoupled ? "sgd and adam" : "adamw"} only` : "";
      if (!waits) show(knobs[name]);
    }
  }};
}

/** Colours and sizes of the notebook's theme. @param {HTMLElement} root @returns {Look} */
function lookOf(root) {
  const style = getComputedStyle(root), paper = style.backgroundColor;
  const [r, g, b] = (paper.match(/[\d.]+/g) ?? ["255", "255", "255"]).map(Number);
  const dark = 0.3 * r + 0.59 * g + 0.11 * b < 128, large = root.classList.contains("projector");
  return {dark, ink: style.color, paper, grey: dark ? "#A8A8A8" : "#6B6B6B",
    font: large ? 19 : 12, line: large ? 3.5 : 2};
}

export default {
  initialize(/** @type {{model: any}} */ {model}) {
    const made = makeStore(model);
    stores.set(keyOf(model), made.store);
    return () => { made.end(); stores.delete(keyOf(model)); };
  },
  render(/** @type {{model: any, el: HTMLElement}} */ {model, el}) {
    const store = stores.get(keyOf(model));
    return makeView(store, model, el);
  },
};

/** One view of a laboratory. @param {any} store @param {any} model @param {HTMLElement} el */
function makeView(store, model, el) {
  const root = make("div", {class: "tinylab-lab", role: "group", "aria-label": "live laboratory"});
  el.append(root);
  const button = (/** @type {string} */ text, /** @type {string} */ hint, /** @type {() => void} */ press, kind = "") =>
    make("button", {type: "button", title: hint, class: kind, onclick: press}, text);
  const view = {cursor: /** @type {number | null} */ (null), branch: "A", hover: /** @type {number | null} */ (null), log: false,
    trains: "", spoken: 0, drawn: 0, model: /** @type {string | null} */ (null)};
  const networks = make("select", {"aria-label": "network", class: "network"});
  networks.addEventListener("change", () => { view.model = networks.value; refresh(); });
  const log = make("input", {type: "checkbox"});
  log.addEventListener("change", () => { view.log = log.checked; draw(); });
  const buttons = [
    button("▶ Start", "Train, or train on", () => store.ask("start"), "primary"),
    button("Pause", "Stop after this batch; Start goes on", () => store.ask("pause")),
    button("One step", "Train a single batch", () => store.ask("step")),
    button("Reset", "A fresh network with these values; all branches are dropped", () => {
      view.cursor = null;
      store.ask("reset", networks.value);
      view.model = null;
    }),
  ];
  const now = make("div", {class: "now"}), said = make("div", {class: "hidden", role: "status", "aria-live": "polite"});
  const alert = make("div", {class: "alert", role: "alert"});
  const canvas = make("canvas", {tabindex: 0, role: "slider", "aria-label": "Chart: the moment to go back to", "aria-valuemin": 0});
  const key = make("div", {class: "key"}), reading = make("span", {class: "reading"});
  const branch = make("select", {"aria-label": "branch"});
  branch.addEventListener("change", () => { view.branch = branch.value; refresh(); });
  const back = button("Go back", "Then turn a knob and press Start: both branches stay", () => {
    store.ask("back", [view.branch, view.cursor ?? current().x.length]);
    view.cursor = null;
  });
  const drop = button("Drop", "Take this branch out of the picture", () => store.ask("drop", view.branch));
  const strip = make("div", {class: "strip", role: "list", "aria-label": "images and what the network takes them for"});
  const checks = make("div"), words = make("div", {role: "group", tabindex: 0, "aria-label": "The picture in words"});
  const text = make("textarea", {rows: 3, "aria-label": "script", placeholder: "paste a script here"});
  const epoch = make("input", {type: "number", min: 0, step: "any", value: 5, "aria-label": "epoch of the planned change"});
  const which = make("select", {"aria-label": "knob of the planned change"});
  const value = make("input", {value: "/10", "aria-label": "value of the planned change: a number, /10 or *2"});
  const ahead = make("span", {class: "ahead"});
  const plan = () => {
    const sign = value.value.trim()[0], amount = Number(value.value.trim().slice(1));
    const times = sign === "/" || sign === "÷" ? 1 / amount : sign === "*" || sign === "×" ? amount : null;
    const knob = store.settings.knobs.find((/** @type {any} */ each) => each.name === which.value);
    const plain = knob.stops ? Number(value.value) : knob.options ? value.value : value.value === "on";
    store.ask("plan", [...planned(), {epoch: Number(epoch.value), knob: which.value, value: times === null ? plain : null, times}]);
  };
  const planned = () => store.state.planned.map((/** @type {any} */ {epoch, knob, value, times}) => ({epoch, knob, value, times}));
  const fold = (/** @type {string} */ name, /** @type {(Node | string)[]} */ ...inside) => make("details", {name: `fold-${keyOf(model)}`},
    make("summary", {}, name), make("div", {class: "inside"}, ...inside));
  const folds = make("div", {class: "folds"},
    fold("Checks", checks),
    fold("Plan", "at epoch ", epoch, which, value, button("Plan it", "Counts from the first batch of that moment", plan),
      button("Clear", "Nothing is planned any more", () => store.ask("plan", [])), ahead),
    fold("Script", text, button("Write script", "The run so far, to be copied and sent to the class", () => store.ask("script")),
      button("Replay", "Train what the script tells, from its beginning", () => store.ask("replay", text.value))),
    fold("In words", words));
  /** @type {any} */
  let knobs = null, /** @type {any} */ settings = null, places = /** @type {any} */ (null), frame = 0, read = 0;
  const current = () => store.branches.find((/** @type {Branch} */ each) => each.letter === view.branch) ?? store.branches[0];
  const arrives = () => current().kept.findLast((/** @type {number} */ step) => step <= (view.cursor ?? -1)) ?? null;

  /** Build what depends on the network: once, and after a reset with another. */
  const build = () => {
    settings = store.settings;
    root.classList.toggle("projector", settings.style === "projector");
    knobs = makeKnobs(store);
    networks.replaceChildren(...settings.models.map((/** @type {string} */ name) => make("option", {value: name}, name)));
    which.replaceChildren(...settings.knobs.map((/** @type {any} */ each) => make("option", {value: each.name}, each.label)));
    const [height, width] = settings.size, size = height * width * 3;
    strip.replaceChildren(...settings.names.map((/** @type {string} */ name, /** @type {number} */ i) => {
      const picture = make("canvas", {width, height, "aria-hidden": true}), pixels = new ImageData(width, height);
      for (let from = i * size, to = 0; to < pixels.data.length; from += 3, to += 4)
        pixels.data.set([store.images[from], store.images[from + 1], store.images[from + 2], 255], to);
      picture.getContext("2d").putImageData(pixels, 0, 0);
      return make("div", {role: "listitem"}, picture, make("span", {}, make("b", {}, name), make("i")));
    }));
    root.replaceChildren(
      make("div", {class: "bar"}, ...buttons, make("label", {}, "network", networks), make("label", {}, log, "logarithmic loss")),
      knobs.box, now, said, alert, canvas, make("div", {class: "bar"}, make("label", {}, "branch", branch), back, drop, reading),
      key, strip, folds);
  };

  const title = () => {
    const {phase, step, note} = store.state, run = store.branches.find((/** @type {Branch} */ each) =>
      each.letter === store.state.branch), last = run.x.length - 1;
    const name = phase === "waiting" ? "Press Start" : phase[0].toUpperCase() + phase.slice(1);
    const loss = last >= 0 ? `, loss ${brief(run.loss[last])}` : "", speed = store.speed && last >= 0 ?
      `, ${Math.round(store.speed).toLocaleString("en")} images/s` : "";
    const kept = store.state.model === networks.value ? "" : ` ${networks.value} counts from the next Reset.`;
    return `${name}: step ${step}, epoch ${(run.x[last] ?? 0).toFixed(2)} of ${settings.epochs}${loss}${speed}.` +
      `${note ? ` ${note[0].toUpperCase()}${note.slice(1)}.` : ""}${kept}`;
  };
  const waiting = () => {
    const oldest = Math.min(...[...store.sent.values()].map(each => each.at));
    if (!(Date.now() - oldest > ASLEEP)) return "";
    return model.widget_manager?.kernel?.status === "busy" ? "Waiting for a running cell: what was turned counts when it ends." : "Waiting for the kernel …";
  };

  /** All that is not the chart. */
  const refresh = () => {
    root.classList.toggle("gone", store.gone);
    alert.textContent = store.gone ? GONE : model.get("value") || waiting();
    alert.classList.toggle("calm", !store.gone && !model.get("value"));
    if (store.state === null) {
      if (!root.childElementCount) root.append(make("div", {role: "status"}, "Waiting for the kernel …"));
      if (store.gone) root.replaceChildren(alert);
      return;
    }
    if (settings !== store.settings) build();
    const {state} = store;
    networks.value = view.model ?? state.model;
    if (view.trains !== state.branch) view.trains = view.branch = state.branch;  // one goes back in the one that trains
    if (!store.branches.some((/** @type {Branch} */ each) => each.letter === view.branch)) view.branch = state.branch;
    branch.replaceChildren(...store.branches.map((/** @type {Branch} */ each) => make("option", {value: each.letter}, each.letter)));
    branch.value = view.branch;
    if (view.cursor !== null) view.cursor = Math.min(view.cursor, current().x.length);  // branches are not of one length
    knobs.update();
    const closed = store.gone || state.phase === "closed";
    for (const part of root.querySelectorAll("button, input, select, textarea")) part.disabled = closed && part !== log;
    const look = lookOf(root);
    key.replaceChildren(...store.branches.map((/** @type {Branch} */ each) => {
      const best = bestOf(each);
      const said = best ? `: best ${settings.eval_split} loss ${best[5].toFixed(2)} at epoch ${best[0]} (${(100 * best[6]).toFixed(1)} %)` : "";
      const here = store.branches.length > 1 && each.letter === state.branch ? ", trains" : "";
      return make("div", {style: store.branches.length > 1 ? `color:${hueOf(each.letter, look)}` : ""}, make("b", {}, each.letter),
        ` ${each.name}${said}${here}`);
    }));
    if (state.predictions) [...strip.children].forEach((part, i) => {
      const right = state.predictions[0][i] === settings.names[i], answer = part.querySelector("i");
      answer.textContent = `${right ? "✓" : "✗"} ${state.predictions[0][i]} ${Math.round(100 * state.predictions[1][i])} %`;
      answer.className = right ? "right" : "wrong";
      part.title = `${settings.names[i]}: ${answer.textContent}`;
    });
    if (checks.dataset.shown !== state.checks) checks.innerHTML = checks.dataset.shown = state.checks;
    words.textContent = state.words;
    ahead.textContent = state.planned.map((/** @type {any} */ each) => ` At epoch ${each.epoch}: ${each.text}.`).join("");
    if (state.phase !== "training" || Date.now() - view.spoken > SPEAK || !said.textContent.startsWith("Training")) {
      said.textContent = title();
      view.spoken = Date.now();
    }
    draw();
  };

  /** Draw the chart when the browser is ready to; the numbers in words as well, or at leisure. */
  const draw = (inWords = true) => {
    if (inWords) read = 0;
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (!store.state || !canvas.isConnected || !canvas.clientWidth) return;
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      const ctx = canvas.getContext("2d", {alpha: false});
      ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
      places = drawChart(ctx, {branches: store.branches, current: store.state.branch, classes: settings.classes,
        evalSplit: settings.eval_split, neighbours: settings.neighbours, epochs: settings.epochs, marks: store.state.marks,
        planned: store.state.planned, log: view.log, cursor: view.cursor, cursorBranch: view.branch, arrives: arrives(),
        hover: view.hover}, width, height, lookOf(root));
      if (performance.now() - read > READ) {
        read = performance.now();
        now.textContent = title();
        reading.textContent = values();
        canvas.setAttribute("aria-valuemax", current().x.length);
        canvas.setAttribute("aria-valuenow", view.cursor ?? current().x.length);
        canvas.setAttribute("aria-valuetext", reading.textContent);
      }
      canvas.dataset.step = store.state.step;  // what is drawn, for whoever looks from outside
      canvas.dataset.marks = store.state.marks.map((/** @type {any[]} */ mark) => mark[1]).join("; ");
      canvas.dataset.drawn = String(++view.drawn);
    });
  };

  /** The values under the pointer, or at the moment chosen. */
  const values = () => {
    const run = current(), step = view.hover !== null ? stepAt(view.hover) : view.cursor;
    if (step === null) return "Arrow keys or a click on the chart choose a moment to go back to.";
    const there = view.hover === null && arrives() !== null ? `; arrives at step ${arrives()}` : "";
    if (!step) return `Step 0${there}`;
    const row = run.epochs.findLast((/** @type {number[]} */ each) => each[0] <= run.x[step - 1] + 1e-6);
    const ended = row ? `; after epoch ${row[0]} training ${brief(row[3])}, ${settings.eval_split} ${brief(row[5])}` : "";
    return `${run.letter}, step ${step}, epoch ${run.x[step - 1].toFixed(2)}: loss ${brief(run.loss[step - 1])}, accuracy ` +
      `${Math.round(100 * run.accuracy[step - 1])} %${ended}${there}`;
  };
  const stepAt = (/** @type {number} */ x) => current().x.findLastIndex((/** @type {number} */ at) => at <= x) + 1;
  const epochAt = (/** @type {PointerEvent} */ event) => {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const panel = places && Object.values(places).find((/** @type {any} */ each) => x >= each.left - 6 &&
      x <= each.left + each.width + 6 && y >= each.top - 6 && y <= each.top + each.height + 12);
    return panel ? Math.min(Math.max((x - panel.left) / panel.width, 0), 1) * panel.end : null;
  };
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    view.hover = epochAt(event);
    if (event.buttons && view.hover !== null) view.cursor = stepAt(view.hover);
    draw();
  });
  canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    const at = epochAt(event);
    if (at !== null) view.cursor = stepAt(at);
    canvas.setPointerCapture(event.pointerId);
    draw();
  });
  canvas.addEventListener("pointerleave", () => { view.hover = null; draw(); });
  canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const last = current().x.length, from = view.cursor ?? last;
    const to = {ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1, PageDown: from - 10,
      PageUp: from + 10, Home: 0, End: last}[event.key];
    if (event.key === "Enter") back.click();
    else if (event.key === "Escape") view.cursor = null;
    else if (to !== undefined) view.cursor = Math.min(Math.max(to, 0), last);
    else return;
    event.preventDefault();
    view.hover = null;
    draw();
  });
  root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.stopPropagation());  // other front ends have shortcuts for letters, too

  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let late = 0;
  const told = (/** @type {string} */ what) => {
    if (what.startsWith("script ")) { text.value = what.slice(7); store.sent.delete("script"); }
    if (what !== "steps") refresh();
    else if (!calm.matches) draw(false);
    else late ||= window.setTimeout(() => { late = 0; draw(); }, 1000);  // a picture a second instead of a moving one
  };
  store.views.add(told);
  // in the frame after: JupyterLab hides all of the page until the next one as it changes its theme
  const again = () => requestAnimationFrame(() => store.state && refresh());
  const resized = new ResizeObserver(() => draw());
  const themed = new MutationObserver(again);
  const sheet = (/** @type {any} */ event) => { if (event.target.rel === "stylesheet") again(); };  // a theme's may come after its name
  document.addEventListener("load", sheet, true);
  resized.observe(root);
  themed.observe(document.body, {attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"]});
  refresh();
  return () => {
    store.views.delete(told);
    resized.disconnect();
    themed.disconnect();
    document.removeEventListener("load", sheet, true);
    cancelAnimationFrame(frame);
    clearTimeout(late);
  };
}
