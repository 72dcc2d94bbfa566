// ---- the viewer: series on the left, tools above, one or more panes

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A person's name (PS3.5 6.2.1) as it is read: Chinese characters stand together, other parts apart. */
const readable = (name) => (name || "").replace(/([\u3400-\u9fff])\^+(?=[\u3400-\u9fff])/g, "$1").replace(/\^+/g, " ").trim();
const IS_SMALL = () => window.matchMedia("(max-width: 720px)").matches;
const MOST_DECODED = (navigator.deviceMemory || 4) >= 4 ? 256 << 20 : 96 << 20;
const MOST_VOLUME = (navigator.deviceMemory || 4) >= 4 ? 320 << 20 : 96 << 20;
const CINE_MS = 100;

/** Tags in their order; the rows of a sequence (">") stay below it. */
function inOrder(rows) {
  const groups = [];
  for (const row of rows) {
    if (row[0].startsWith(">") && groups.length) groups[groups.length - 1].push(row);
    else groups.push([row]);
  }
  return groups.sort((a, b) => (a[0][0] < b[0][0] ? -1 : 1)).flat();
}

/** Mouse, touch and wheel of a pane. */
function listen(pane) {
  const { canvas } = pane, fingers = new Map();
  let action = "", left = 0, spread = 0;
  const viewer = () => pane.viewer;
  canvas.addEventListener("pointerdown", (event) => {
    viewer().focus(pane);
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    action = event.button === 1 ? "pan" : event.button === 2 ? "zoom" : viewer().tool;
    left = spread = 0;
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) { pane.point(event.offsetX, event.offsetY); return; }
    const dx = event.clientX - before[0], dy = event.clientY - before[1];
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size > 1) {
      const [a, b] = [...fingers.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (spread) pane.zoom(now / spread);
      spread = now;
      pane.pan(dx / 2, dy / 2);
    } else if (action === "window") pane.drag(dx, dy);
    else if (action === "pan") pane.pan(dx, dy);
    else if (action === "zoom") pane.zoom(Math.exp(-dy / 120));
    else {
      const step = Math.max(2, Math.min(12, canvas.clientHeight / Math.max(pane.stack.count, 1)));
      left += dy;
      const moved = Math.trunc(left / step);
      if (moved) { left -= moved * step; pane.go(pane.index + moved); }
    }
  });
  const up = (event) => {
    fingers.delete(event.pointerId);
    spread = 0;
    if (viewer().cuts && pane.stack instanceof CutStack && event.type === "pointerup") {
      const place = pane.image && pane.place(event.offsetX, event.offsetY);
      if (place && viewer().tool === "scroll") viewer().cuts.cross(pane, place);
    }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("focus", () => viewer().focus(pane));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => pane.reset());
  let turned = 0;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    viewer().focus(pane);
    if (event.ctrlKey) { pane.zoom(Math.exp(-event.deltaY / 200)); return; }
    turned += event.deltaMode ? event.deltaY * 40 : event.deltaY;
    const steps = Math.trunc(turned / 40) || Math.sign(turned) * (Math.abs(turned) >= 20 ? 1 : 0);
    if (steps) { turned = 0; pane.go(pane.index + Math.sign(steps) * Math.min(Math.abs(steps), 3)); }
  }, { passive: false });
}

/** The three planes of a volume, each in a pane of its own. */
class Cuts {
  constructor(viewer, volume) {
    const planes = [["columns", "rows", "slices"], ["columns", "slices", "rows"], ["rows", "slices", "columns"]];
    this.stacks = planes.map(([across, down, through]) => new CutStack(volume, across, down, through));
    this.panes = this.stacks.map(() => new Pane(viewer));
  }
  at(axis) { return this.panes[this.stacks.findIndex((stack) => stack.through === axis)].index; }
  cross(pane, { column, row }) {
    const { across, down, flipped, volume } = pane.stack;
    const to = (axis, value, flip) => {
      const place = this.stacks.findIndex((stack) => stack.through === axis);
      this.panes[place].go(flip ? volume[axis] - 1 - value : value);
    };
    to(across, column, flipped.across);
    to(down, row, flipped.down);
  }
}

class Viewer {
  constructor(root, { index, words, language, load, onLanguage }) {
    Object.assign(this, { root, index, words, language, onLanguage, tool: IS_SMALL() || navigator.maxTouchPoints > 1 ? "scroll" : "window" });
    this.frames = new Frames(load, MOST_DECODED);
    this.stacks = index.series.map((series) => new SeriesStack(series, this.frames));
    this.panes = [new Pane(this)];
    this.active = this.panes[0];
    this.build();
    this.listening = new AbortController();
    document.addEventListener("keydown", (event) => {
      const isOurs = event.target === document.body || root.contains(event.target);
      if (isOurs && root.isConnected && root.clientWidth) this.key(event);
    }, { signal: this.listening.signal });
    const most = Math.max(0, ...index.series.map((series) => series.count));
    const start = index.series.findIndex((series) => series.count === most);
    this.first = start >= 0 ? this.open(start) : Promise.resolve();
    this.reading(index.is_whole === false);
    this.first.then(() => this.drawThumbnails());
  }
  /** All files of the study were read: what they say of places, volumes and tags comes to what is shown already. */
  adopt(index) {
    this.index.studies = index.studies;
    this.index.is_whole = true;
    index.series.forEach((series, number) => Object.assign(this.index.series[number], series));
    this.entries.forEach((entry, number) => { entry.querySelector(".name").firstChild.textContent = this.title(index.series[number]) || this.say("series"); });
    this.reading(false);
    for (const pane of this.panes) pane.draw();
    this.refresh();
  }
  reading(isReading) { this.notice.textContent = isReading ? this.say("reading") : ""; }
  /** Another viewer comes in its place. */
  close() {
    this.listening.abort();
    this.stop();
    this.filling = null;
    this.root.replaceChildren();
  }
  say(name, values) {
    const text = this.words[this.language][name] || name;
    return text.replace(/\{(\w+)\}/g, (_, key) => (values || {})[key] ?? "");
  }
  title(series) {
    return [series.number ?? "", series.modality, series.description].filter((part) => part !== "").join(" ");
  }

  // -- what it is made of

  build() {
    const say = (name) => this.say(name);
    const button = (name, text, action, more) => make("button", {
      type: "button", "data-name": name, title: `${say(name)}${more?.key ? ` (${more.key})` : ""}`,
      "aria-pressed": more?.pressed, onclick: action }, text, make("span", { class: "text" }, say(name)));
    const tool = (name, sign, key) => button(name, sign, () => this.choose(name), { pressed: String(this.tool === name), key });
    this.presets = make("select", { "aria-label": say("preset"), title: say("preset"), onchange: () => this.preset(this.presets.value) });
    this.bar = make("div", { class: "bar", role: "toolbar", "aria-label": say("tools") },
      tool("window", "◐", "W"), tool("scroll", "⇅", "S"), tool("pan", "✥", "P"), tool("zoom", "⊕", "Z"), this.presets,
      button("invert", "◪", () => this.invert(), { key: "I" }), button("reset", "⟲", () => this.active.reset(), { key: "R" }),
      button("cine", "▶", () => this.cine(), { pressed: "false", key: say("space") }),
      button("mpr", "⊞", () => this.mpr(), { pressed: "false", key: "M" }),
      button("two", "◫", () => this.two(), { pressed: "false", key: "D" }),
      button("tags", "≡", () => this.tags(), { key: "T" }), button("keys", "?", () => this.keys()));
    this.heading = make("h1", { class: "heading" });
    this.list = make("div", { class: "list", role: "listbox", "aria-label": say("series"), tabindex: "-1" });
    this.area = make("div", { class: "area" }, ...this.panes.map((pane) => pane.element));
    this.notice = make("p", { class: "notice", role: "status" });
    this.dialog = make("dialog", { "aria-label": say("tags") });
    this.entries = this.index.series.map((series, number) => this.entry(series, number));
    this.list.append(...this.entries);
    const switcher = this.onLanguage === null ? null : make("button", { type: "button", class: "language", lang: this.language === "zh" ? "en" : "zh-CN",
      onclick: () => this.translate() }, this.language === "zh" ? "English" : "中文");
    this.root.className = "viewer";
    this.root.replaceChildren(
      make("div", { class: "head" }, this.heading, make("strong", { class: "warning" }, "Not for diagnosis / ", make("span", { lang: "zh-CN" }, "不用于诊断")), switcher),
      this.list, make("div", { class: "stage" }, this.bar, this.area, this.notice), this.dialog);
  }
  entry(series, number) {
    const count = this.say(series.count === 1 ? "image" : "images", { count: series.count });
    return make("button", { type: "button", role: "option", "aria-selected": "false", class: "series", onclick: () => this.open(number) },
      make("canvas", { width: "96", height: "96", "aria-hidden": "true" }),
      make("span", { class: "name" }, this.title(series) || this.say("series"), make("small", {}, series.count ? count : this.say("no-picture"))));
  }
  async drawThumbnails() {
    for (const [number, stack] of this.stacks.entries()) {
      const image = stack.count && (await stack.image(stack.count >> 1).catch(() => null));
      if (!image) continue;
      const pane = { image, picture: document.createElement("canvas"), window: this.firstWindow(image), inverted: false, table: Pane.prototype.table };
      Pane.prototype.render.call(pane);
      const canvas = this.entries[number].querySelector("canvas"), high = image.rows * image.aspect;
      const size = 96 / Math.max(image.columns, high), context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(pane.picture, (96 - image.columns * size) / 2, (96 - high * size) / 2, image.columns * size, high * size);
    }
  }
  translate() {
    this.language = this.language === "zh" ? "en" : "zh";
    document.documentElement.lang = this.language === "zh" ? "zh-CN" : "en";
    this.stop();
    this.build();
    for (const pane of this.panes) pane.draw();
    this.refresh();
    this.drawThumbnails();
    if (this.onLanguage) this.onLanguage(this.language);
  }

  // -- what is shown

  open(number) {
    this.stop();
    if (this.cuts) this.mpr();
    this.active.number = number;
    const shown = this.active.show(this.stacks[number]);
    this.refresh();
    return shown;
  }
  focus(pane) {
    if (!pane) { this.active.canvas.focus({ preventScroll: true }); return; }  // so that keys are ours from the start
    if (this.active === pane) return;
    this.active = pane;
    this.refresh();
  }
  refresh() {
    const pane = this.active, series = this.index.series[pane.number] || this.index.series[0];
    if (!series) return;
    const study = this.index.studies[series.study] || {}, date = /^\d{8}$/.test(study.date) ? study.date.replace(/(....)(..)(..)/, "$1-$2-$3") : study.date;
    this.heading.textContent = [readable(study.patient), date, study.description].filter(Boolean).join("   ");
    document.title = this.heading.textContent || "cloudfilm";
    this.entries.forEach((entry, number) => {
      entry.setAttribute("aria-selected", String(number === pane.number));
      entry.classList.toggle("shown", this.panes.some((other) => other.number === number));
    });
    for (const other of this.area.children) other.classList.toggle("active", this.area.children.length > 1 && other === pane.element);
    const options = [["auto", this.say("auto")], ["full", this.say("full")]];
    if (pane.image?.lut || pane.image?.windows?.length) options.unshift(["file", this.say("from-file")]);
    for (const [name] of presetsOf(series.modality)) options.push([name, this.say(name)]);
    options.push(["own", this.say("own")]);
    this.presets.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
    this.presets.value = this.presetOf(pane, series);
    this.presets.disabled = pane.image?.kind === "rgb";
    this.button("mpr").disabled = !series.volume;
    this.button("two").disabled = this.index.series.length < 2 && !this.panes[1];
    this.button("cine").disabled = series.count < 2;
    this.pressed("mpr", Boolean(this.cuts));
    this.pressed("two", this.panes.length > 1);
    this.pressed("cine", Boolean(this.playing));
    for (const name of ["window", "scroll", "pan", "zoom"]) this.pressed(name, this.tool === name);
  }
  button(name) { return this.bar.querySelector(`[data-name="${name}"]`); }
  pressed(name, value) { this.button(name).setAttribute("aria-pressed", String(value)); }
  presetOf(pane, series) {
    const { window: shown, image } = pane;
    if (!shown || !image || image.kind === "rgb") return "auto";
    if (shown.name) return shown.name;
    const found = presetsOf(series.modality).find(([, center, width]) => center === shown.center && width === shown.width);
    return found ? found[0] : "own";
  }
  /** The window that an image opens with: its file's own, else all but the darkest and brightest hundredth. */
  firstWindow(image) {
    if (image.kind === "rgb") return { center: 128, width: 256 };
    if (image.lut) return { lut: true, center: (image.low + image.high) / 2, width: image.high - image.low || 1, name: "file" };
    if (image.windows.length) return { center: image.windows[0][0], width: image.windows[0][1], shape: image.function, name: "file" };
    return this.namedWindow("auto", image);
  }
  namedWindow(name, image, modality) {
    if (name === "file") return this.firstWindow(image);
    if (name === "auto") return { center: (image.low + image.high) / 2, width: image.high - image.low || 1, shape: "LINEAR_EXACT", name };
    if (name === "full") return { center: (image.least + image.most) / 2, width: image.most - image.least || 1, shape: "LINEAR_EXACT", name };
    const found = presetsOf(modality).find(([preset]) => preset === name);
    return found && { center: found[1], width: found[2], name };
  }
  preset(name) {
    const { image, stack } = this.active, found = image && image.kind !== "rgb" && this.namedWindow(name, image, stack.series.modality);
    if (!found) return;
    this.active.window = found;
    this.windowed(this.active);
    this.active.draw();
    this.refresh();
  }
  /** A pane's window changed; the other planes of its volume follow. */
  windowed(pane) {
    for (const other of this.cuts && this.cuts.panes.includes(pane) ? this.cuts.panes : []) {
      if (other !== pane) { other.window = pane.window; other.draw(); }
    }
    if (!pane.window.name) this.presets.value = "own";
  }
  /** A pane went to another image; a second one of the same directions follows to the same depth. */
  moved(pane) {
    if (this.cuts) { for (const other of this.cuts.panes) if (other !== pane) other.draw(); return; }
    if (pane === this.active && this.presets.disabled !== (pane.image?.kind === "rgb")) this.refresh();
    if (pane === this.active && !this.presets.options.length) this.refresh();
    if (pane === this.active && pane.image && this.presets.value === "auto" && pane.window?.name === "file") this.refresh();
    const other = this.panes.find((candidate) => candidate !== pane);
    if (pane !== this.active || !other || !other.stack || other.stack.frames !== pane.stack.frames) return;
    const depth = pane.stack.depth(pane.index), mine = pane.stack.orientation(pane.index), theirs = other.stack.orientation(other.index);
    if (depth === null || !theirs || other.stack.depth(0) === null || mine.some((value, axis) => Math.abs(value - theirs[axis]) > 0.05)) return;
    let nearest = other.index, least = Infinity;
    for (let index = 0; index < other.stack.count; index++) {
      const far = Math.abs(other.stack.depth(index) - depth);
      if (far < least) { least = far; nearest = index; }
    }
    if (nearest !== other.index) other.go(nearest);
  }

  // -- what its buttons do

  choose(tool) { this.tool = tool; this.refresh(); }
  invert() { this.active.inverted = !this.active.inverted; this.active.draw(); }
  cine() {
    if (this.playing) { this.stop(); return; }
    const pane = this.active, every = Math.min(Math.max(pane.stack.series.frame_time || CINE_MS, 20), 1000);
    let next = 0, busy = false;
    const step = async (now) => {
      if (!this.playing) return;
      this.playing = requestAnimationFrame(step);
      if (busy || now < next) return;
      busy = true;
      next = now + every;
      await pane.go((pane.index + 1) % pane.stack.count);
      busy = false;
    };
    this.playing = requestAnimationFrame(step);
    this.refresh();
  }
  stop() {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.refresh();
  }
  two() {
    this.stop();
    if (this.cuts) this.mpr();
    if (this.panes.length > 1) {
      this.panes = [this.active];
    } else {
      const pane = new Pane(this), number = this.index.series.findIndex((series, place) => series.count && place !== this.active.number);
      this.panes.push(pane);
      pane.number = number < 0 ? this.active.number : number;
      pane.show(this.stacks[pane.number]);
    }
    this.area.replaceChildren(...this.panes.map((pane) => pane.element));
    this.area.dataset.panes = String(this.panes.length);
    this.refresh();
  }
  async mpr() {
    this.stop();
    if (this.cuts || this.filling) {
      this.filling = null;
      this.cuts = null;
      this.notice.textContent = "";
      this.active = this.panes[0];
      this.area.replaceChildren(...this.panes.map((pane) => pane.element));
      this.area.dataset.panes = String(this.panes.length);
      this.refresh();
      return;
    }
    const pane = this.active, stack = pane.stack;
    if (!stack.series.volume) return;
    const volume = new Volume(stack, MOST_VOLUME), filling = (this.filling = {});
    const whole = await volume.fill((share) => { this.notice.textContent = this.say("building", { share: Math.round(share * 100) }); }).catch(() => false);
    if (this.filling !== filling) return;
    this.filling = null;
    this.notice.textContent = whole ? (volume.step > 1 ? this.say("halved") : "") : this.say("no-volume");
    if (!whole) return;
    this.cuts = new Cuts(this, volume);
    this.panes[0].number = pane.number;
    this.cuts.panes.forEach((cut, place) => {
      cut.number = pane.number;
      cut.show(this.cuts.stacks[place], place ? undefined : pane.index);
      cut.window = pane.window;
    });
    this.active = this.cuts.panes[0];
    this.area.replaceChildren(...this.cuts.panes.map((cut) => cut.element));
    this.area.dataset.panes = "3";
    this.refresh();
  }
  tags() {
    if (this.index.is_whole === false) { this.openDialog(this.say("tags"), make("p", {}, this.say("reading"))); return; }
    const { stack, index } = this.active, series = stack.series, own = series.own_tags[stack.file(index)] || [];
    const rows = inOrder([...series.tags, ...own]);
    const body = make("tbody"), filter = make("input", { type: "search", placeholder: this.say("filter"), "aria-label": this.say("filter") });
    const fill = () => {
      const wanted = filter.value.toLowerCase();
      body.replaceChildren(...rows.filter((row) => row.join(" ").toLowerCase().includes(wanted)).map((row) =>
        make("tr", {}, make("td", {}, row[0]), make("td", {}, row[1]), make("td", {}, row[2]), make("td", {}, row[3]))));
    };
    filter.addEventListener("input", fill);
    fill();
    const heads = ["tag", "vr", "name", "value"].map((name) => make("th", { scope: "col" }, this.say(`tag-${name}`)));
    this.openDialog(this.say("tags"), filter, make("div", { class: "scroll", tabindex: "0" }, make("table", { class: "tags" }, make("thead", {}, make("tr", {}, ...heads)), body)));
  }
  keys() {
    const rows = this.say("key-list").split("\n").map((line) => line.split("\t"));
    this.openDialog(this.say("keys"), make("table", {}, ...rows.map(([key, text]) => make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, text)))));
  }
  openDialog(title, ...content) {
    const close = make("button", { type: "button", class: "close", onclick: () => this.dialog.close() }, this.say("close"));
    this.dialog.setAttribute("aria-label", title);
    this.dialog.replaceChildren(make("div", { class: "dialog-head" }, make("h2", {}, title), close), ...content);
    this.dialog.showModal();
  }
  key(event) {
    if (event.target.closest("dialog, select, input[type=search]") || event.ctrlKey || event.metaKey || event.altKey) return;
    const pane = this.active, is = (name) => event.key === name, to = (index) => pane.go(index);
    const on = event.target.closest("button") && (is(" ") || is("Enter")), next = pane.number === undefined ? 0 : pane.number;
    if (on) return;
    const actions = {
      ArrowUp: () => to(pane.index - 1), ArrowDown: () => to(pane.index + 1), PageUp: () => to(pane.index - 10),
      PageDown: () => to(pane.index + 10), Home: () => to(0), End: () => to(pane.stack.count - 1),
      ArrowLeft: () => next > 0 && this.open(next - 1), ArrowRight: () => next < this.stacks.length - 1 && this.open(next + 1),
      w: () => this.choose("window"), s: () => this.choose("scroll"), p: () => this.choose("pan"), z: () => this.choose("zoom"),
      i: () => this.invert(), r: () => pane.reset(), " ": () => this.cine(), m: () => this.mpr(), d: () => this.two(), t: () => this.tags(),
      "+": () => pane.zoom(1.25), "=": () => pane.zoom(1.25), "-": () => pane.zoom(0.8), 0: () => pane.actualSize(), "?": () => this.keys(),
    };
    const digit = "123456789".indexOf(event.key), choice = this.presets.options[digit];
    if (digit >= 0 && choice && choice.value !== "own") this.preset(choice.value);
    else if (actions[event.key] || actions[event.key.toLowerCase()]) (actions[event.key] || actions[event.key.toLowerCase()])();
    else return;
    event.preventDefault();
  }
}

// ---- a page with its pictures inside

const delivered = {};
window.cloudfilmPart = (frames) => Object.assign(delivered, frames);

/** The text of a frame in this page, once the browser has read it whole. */
async function textInPage(number) {
  for (;;) {
    const element = document.getElementById(`f${number}`);
    if (element && (element.nextElementSibling || document.readyState !== "loading")) return element.textContent;
    if (document.readyState !== "loading") return "";
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

const wantedParts = new Map();
function part({ src }, nonce) {
  if (!wantedParts.has(src)) {
    wantedParts.set(src, new Promise((resolve) => {
      const script = make("script", { src, nonce, onload: resolve, onerror: resolve });
      script.nonce = nonce;
      document.head.append(script);
    }));
  }
  return wantedParts.get(src);
}

function startPage() {
  const index = JSON.parse(document.getElementById("index").textContent);
  const load = async (number) => {
    const found = index.parts.find(({ first, end }) => number >= first && number < end);
    if (found && delivered[number] === undefined) await part(found, index.nonce);
    return fromBase64(found ? delivered[number] || "" : await textInPage(number));
  };
  const words = JSON.parse(document.getElementById("words").textContent);
  new Viewer(document.getElementById("viewer"), { index, words, language: index.language, load });
}

window.cloudfilmViewer = (root, options) => new Viewer(root, options);
if (document.getElementById("index")) startPage();
