// What a page knows of a laboratory, shared by all its views: what the kernel has sent, and what has been asked of it.
// `messages.py` says what is sent, `LiveLab._receive` what may be asked. Follows `chart.js` in the same module.

/** The stores of the page's laboratories: frontends may hand `initialize` and `render` two objects for one model.
 * @type {Map<string, any>} */
const stores = /** @type {any} */ (globalThis).tinylabStores ??= new Map();
const keyOf = (/** @type {any} */ model) => model.get("_key");

/** What all views of one laboratory share. @param {any} model */
function makeStore(model) {
  const store = {
    settings: /** @type {any} */ (null), state: /** @type {any} */ (null), images: /** @type {any} */ (null),
    number: 0, sent: new Map(), speed: 0, gone: false,
    /** @type {Branch[]} */ branches: [], /** @type {Set<(what: string) => void>} */ views: new Set(),
    /** Ask the kernel for something. @param {string} command @param {any} [value] @param {string} [what] that waits */
    ask(command, value = null, what = command) {
      store.number = Math.max(store.number + 1, Date.now());  // another page of the same laboratory counts on
      if (command !== "hello") store.sent.set(what, {number: store.number, value, at: Date.now()});
      try { model.send({command, value, number: store.number}); } catch { store.gone = true; }
      store.tell("pending");
    },
    tell(/** @type {string} */ what) { for (const view of store.views) view(what); },
  };
  const floats = (/** @type {DataView} */ view) => new Float32Array(view.buffer.slice(view.byteOffset,
    view.byteOffset + view.byteLength));
  const append = (/** @type {Branch} */ branch, /** @type {Float32Array} */ rows) => {
    for (let i = 0; i < rows.length; i += 4) {
      if (rows[i] !== branch.x.length + 1) return rows[i] <= branch.x.length;  // a step is missing: ask for everything
      branch.x.push(rows[i + 1]);
      branch.loss.push(rows[i + 2]);
      branch.accuracy.push(rows[i + 3]);
    }
    return true;
  };
  const take = (/** @type {any} */ state) => {
    const known = Object.fromEntries(store.branches.map(each => [each.letter, each]));
    store.branches = state.branches.map((/** @type {any} */ sent) => {
      const branch = known[sent.letter] ?? {x: [], loss: [], accuracy: [], epochs: []};
      const epochs = [...branch.epochs.slice(0, sent.since), ...sent.epochs];
      return Object.assign(branch, {letter: sent.letter, name: sent.name, start: sent.start, kept: sent.kept, epochs});
    });
    for (const [what, {number}] of store.sent) if (number <= state.heard) store.sent.delete(what);
    store.state = state;
  };
  const heard = (/** @type {any} */ message, /** @type {DataView[]} */ buffers) => {
    store.gone = false;
    if (message.kind === "all") {
      store.branches = [];
      if (JSON.stringify(store.settings) !== JSON.stringify(message.settings)) store.settings = message.settings;
      store.images = new Uint8Array(buffers[0].buffer.slice(buffers[0].byteOffset, buffers[0].byteOffset + buffers[0].byteLength));
      take(message);
      store.branches.forEach((branch, i) => append(branch, floats(buffers[i + 1])));
    } else if (store.settings === null) {
      return;
    } else if (message.kind === "steps") {
      const branch = store.branches.find(each => each.letter === message.branch), rows = floats(buffers[0]);
      store.speed = message.speed;
      if (!branch || !append(branch, rows)) store.ask("hello");
      else if (store.state.branch === message.branch) store.state.step = branch.x.length;
    } else if (message.kind === "state") {
      take(message);
    }
    store.tell(message.kind === "script" ? `script ${message.text}` : message.kind);
  };
  const watch = () => {
    const kernel = model.widget_manager?.kernel;
    if (["dead", "restarting", "autorestarting", "terminating"].includes(kernel?.status) || kernel?.isDisposed) lost();
    else if (store.sent.size) store.tell("pending");
  };
  const lost = () => {  // for good, whatever the next kernel says, unless this laboratory is heard of again
    if (!store.gone) {
      store.gone = true;
      store.tell("gone");
    }
  };
  model.on("msg:custom", heard);
  model.on("comm_live_update", lost);
  model.on("change:value", () => store.tell("error"));
  const timer = setInterval(watch, 500);
  store.ask("hello");
  return {store, end: () => {
    clearInterval(timer);
    model.off("msg:custom", heard);
    model.off("comm_live_update", lost);
  }};
}
