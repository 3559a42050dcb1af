// What a page knows of a laboratory, shared by all its views: what the kernel has sent, and what has been asked of it.
// `messages.py` says what is sent, `LiveLab._receive` what may be asked. Follows `chart.js` in the same module.

/** The stores of the page's laboratories: frontends may hand `initialize` and `render` two objects for one model.
 * @type {Map<string, any>} */
const stores = globalThis.tinylabStores ??= new Map();
const keyOf = (/** @type {any} */ model) => model.get("_key");

/** What all views of one laboratory share. @param {any} model */
function makeStore(model) {
  const store = {
    settings: null, state: null, images: null, number: 0, sent: new Map(), speed: 0, gone: false,
    /** @type {Future[]} */ futures: [], /** @type {Set<(what: string) => void>} */ views: new Set(), asked: 0,
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
  const append = (/** @type {Future} */ future, /** @type {Float32Array} */ rows) => {
    for (let i = 0; i < rows.length; i += 4) {
      if (rows[i] !== future.x.length + 1) return rows[i] <= future.x.length;  // a step is missing: ask for everything
      future.x.push(rows[i + 1]);
      future.loss.push(rows[i + 2]);
      future.accuracy.push(rows[i + 3]);
    }
    return true;
  };
  const take = (/** @type {any} */ state) => {
    const known = Object.fromEntries(store.futures.map(each => [each.letter, each]));
    store.futures = state.futures.map((/** @type {any} */ sent) => {
      const future = known[sent.letter] ?? {x: [], loss: [], accuracy: [], epochs: []};
      const epochs = [...future.epochs.slice(0, sent.since), ...sent.epochs];
      return Object.assign(future, {letter: sent.letter, name: sent.name, start: sent.start, kept: sent.kept, epochs});
    });
    for (const [what, {number}] of store.sent) if (number <= state.heard) store.sent.delete(what);
    store.state = state;
  };
  const heard = (/** @type {any} */ message, /** @type {DataView[]} */ buffers) => {
    store.gone = false;
    if (message.kind === "all") {
      store.futures = [];
      if (JSON.stringify(store.settings) !== JSON.stringify(message.settings)) store.settings = message.settings;
      store.images = new Uint8Array(buffers[0].buffer.slice(buffers[0].byteOffset, buffers[0].byteOffset + buffers[0].byteLength));
      take(message);
      store.futures.forEach((future, i) => append(future, floats(buffers[i + 1])));
    } else if (store.settings === null) {
      return;
    } else if (message.kind === "steps") {
      const future = store.futures.find(each => each.letter === message.future), rows = floats(buffers[0]);
      store.speed = message.speed;
      if (!future || !append(future, rows)) store.ask("hello");
      else if (store.state.future === message.future) store.state.step = future.x.length;
    } else if (message.kind === "state") {
      take(message);
    }
    store.tell(message.kind === "story" ? `story ${message.text}` : message.kind);
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
