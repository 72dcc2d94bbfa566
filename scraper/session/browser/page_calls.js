// Functions that are called in a page while its own functions are watched; see page_calls.py.

// ---- pause
() => {
  const made = [];
  const wrap = (holder, key) => { const own = holder && Object.getOwnPropertyDescriptor(holder, key);
    if (!own || !own.configurable || typeof own.value !== "function") return;
    const apply = Reflect.apply;
    const value = new Proxy(own.value, {apply: function cloudfilmPause(target, self, given) { debugger; return apply(target, self, given); }});
    Object.defineProperty(holder, key, {...own, value});
    made.push(() => Object.defineProperty(holder, key, own)); };
  for (const kind of ["WebSocket", "Worker", "MessagePort"]) if (globalThis[kind])
    wrap(globalThis[kind].prototype, kind === "WebSocket" ? "send" : "postMessage");
  if (typeof WorkerGlobalScope === "function") {  // where no debugger pauses at requests
    wrap(WorkerGlobalScope.prototype, "fetch");
    wrap(XMLHttpRequest.prototype, "send"); }
  return {restore: () => made.splice(0).forEach(undo => undo())};
}

// ---- named
function(names, most) {
  const wanted = new Set(names), counts = {};
  return this.filter(made => { try {
    const own = Object.getOwnPropertyDescriptor(made, "name"), name = own && own.value;
    if (typeof name !== "string" || !wanted.has(name)) return false;
    counts[name] = (counts[name] || 0) + 1;
    return counts[name] <= most; } catch { return false; } });
}

// ---- plain
function() {
  let left = 400;
  const MARK = {"\u0001": true};  // no number: it might be taken for a list's value
  const plain = (value, depth) => {
    if (value === null || typeof value === "boolean") return value;
    if (typeof value === "number") return Number.isFinite(value) ? value : MARK;
    if (typeof value === "string") return value.length <= 2000 ? value : MARK;
    if (typeof value !== "object" || depth > 4) return MARK;
    if (Array.isArray(value)) return value.length > 50 ? MARK : value.map(inner => left-- > 0 ? plain(inner, depth + 1) : MARK);
    if (Object.prototype.toString.call(value) !== "[object Object]" || typeof value.then === "function") return MARK;
    const names = Object.keys(value);
    if (names.length > 60) return MARK;
    const out = {};
    for (const name of names) { const own = Object.getOwnPropertyDescriptor(value, name);
      out[name] = own && "value" in own && left-- > 0 ? plain(own.value, depth + 1) : MARK; }
    return out; };
  return JSON.stringify(this.given.map(value => plain(value, 0)));
}

// ---- call
async function(made, text, most) {
  const isMark = value => value !== null && typeof value === "object" && value["\u0001"] === true;
  const merged = (value, sample) => {
    if (isMark(value)) return sample;
    if (Array.isArray(value)) return value.map((inner, at) => merged(inner, sample && sample[at]));
    if (value === null || typeof value !== "object") return value;
    const like = sample !== null && typeof sample === "object" ? sample : {};
    const out = Object.create(Object.getPrototypeOf(like), Object.getOwnPropertyDescriptors(like));
    for (const [name, inner] of Object.entries(value)) if (!isMark(inner))
      Object.defineProperty(out, name, {value: merged(inner, like[name]), writable: true, enumerable: true, configurable: true});
    return out; };
  try {
    const given = JSON.parse(text).map((value, at) => merged(value, this.given[at]));
    const answer = Reflect.apply(made, this.self, given);
    const promise = answer && typeof answer.then !== "function" && answer.promise ? answer.promise : answer;
    let timer;
    const late = new Promise(done => { timer = setTimeout(() => done(false), most); });
    const done = await Promise.race([Promise.resolve(promise).then(() => true, () => false), late]);
    clearTimeout(timer);
    return done;
  } catch { return false; }
}
