// ---- a pane: one image of a stack on a canvas, with its window, its zoom and its place

/** 8 bits for each stored value: rescale, then VOI LUT or window, then polarity (PS3.4 N.2, PS3.3 C.11.2.1.2). */
function table(image, window, inverted) {
  const size = image.kind === "grey8" ? 256 : 65536;
  const made = new Uint8Array(size), turned = inverted !== image.inverted;
  const lut = window.lut && image.lut && decodedLut(image.lut);
  const exact = window.shape === "LINEAR_EXACT", sigmoid = window.shape === "SIGMOID";
  const center = exact || sigmoid ? window.center : window.center - 0.5;
  const width = exact || sigmoid ? Math.max(window.width, 1e-6) : Math.max(window.width - 1, 1e-6);
  for (let stored = 0; stored < size; stored++) {
    const signed = image.signed && stored > 32767 ? stored - 65536 : stored;
    const value = signed * image.slope + image.intercept;
    let shown;
    if (lut) shown = lut.table[Math.min(Math.max(Math.round(value) - lut.first, 0), lut.table.length - 1)] / lut.most;
    else if (sigmoid) shown = 1 / (1 + Math.exp((-4 * (value - center)) / width));
    else shown = (value - center) / width + 0.5;
    shown = shown < 0 ? 0 : shown > 1 ? 1 : shown;
    made[stored] = Math.round((turned ? 1 - shown : shown) * 255);
  }
  return made;
}

function decodedLut(lut) {
  if (!lut.decoded) {
    const bytes = fromBase64(lut.table);
    lut.decoded = { first: lut.first, most: 2 ** lut.bits - 1, table: new Uint16Array(bytes.buffer, 0, bytes.length >> 1) };
  }
  return lut.decoded;
}

const AHEAD = 16;  // images that are loaded in the direction of the scroll

class Pane {
  constructor(viewer) {
    this.viewer = viewer;
    this.canvas = make("canvas", { tabindex: "0", role: "img" });
    this.slider = make("input", { type: "range", min: "0", step: "1", class: "slices" });
    this.corners = Object.fromEntries(["tl", "tr", "bl", "br", "top", "left", "bottom", "right"].map((name) => [
      name, make("span", { class: `corner ${name}`, "aria-hidden": "true" })]));
    this.element = make("div", { class: "pane" }, this.canvas, ...Object.values(this.corners), this.slider);
    this.picture = document.createElement("canvas");
    this.index = 0;
    this.inverted = false;
    this.window = null;
    this.view = { scale: 1, x: 0, y: 0 };
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    new ResizeObserver(() => this.resize()).observe(this.element);
    listen(this);
  }
  show(stack, index) {
    this.stack = stack;
    this.window = null;
    this.inverted = false;
    this.view = { scale: 1, x: 0, y: 0 };
    this.slider.max = String(Math.max(stack.count - 1, 0));
    this.slider.hidden = stack.count < 2;
    this.slider.setAttribute("aria-label", this.viewer.say("slice"));
    this.image = null;
    this.failed = false;
    this.drawn = -1;
    return this.go(index ?? stack.count >> 1);
  }
  /** Go to an image; a later call overtakes an earlier one whose image is still on its way. */
  async go(index) {
    if (!this.stack || !this.stack.count) { this.draw(); return; }
    const from = this.index, stack = this.stack;
    this.index = Math.min(Math.max(Math.round(index), 0), stack.count - 1);
    this.slider.value = String(this.index);
    const wanted = this.index, isListed = stack instanceof SeriesStack;
    if (isListed) stack.next([]);  // what was ahead of the place before
    const image = stack.now(wanted) || (await stack.image(wanted).catch(() => null));
    if (this.stack !== stack || this.index !== wanted) return;
    this.image = image;
    this.drawn = wanted;
    this.failed = !image;
    if (image && !this.window) this.window = this.viewer.firstWindow(image);
    this.draw();
    this.viewer.moved(this);
    if (!isListed) return;
    const way = wanted < from ? -1 : 1;
    const ahead = Array.from({ length: AHEAD }, (_, place) => wanted + (place + 1) * way);
    stack.next([...ahead.slice(0, 2), wanted - way, ...ahead.slice(2)]);
  }
  resize() {
    const ratio = window.devicePixelRatio || 1, { clientWidth, clientHeight } = this.element;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.draw();
  }
  /** Canvas pixels for one column of the image where it just fits. */
  fit() {
    const { rows, columns, aspect } = this.image;
    return Math.min(this.canvas.width / columns, this.canvas.height / (rows * aspect));
  }
  render() {
    const { image, picture } = this;
    if (picture.width !== image.columns || picture.height !== image.rows) {
      picture.width = image.columns;
      picture.height = image.rows;
    }
    const context = picture.getContext("2d");
    if (image.kind === "rgb") {
      context.putImageData(new ImageData(image.samples, image.columns, image.rows), 0, 0);
      return;
    }
    const shown = this.table(image), { samples } = image;
    if (!this.pixels || this.pixels.width !== image.columns || this.pixels.height !== image.rows) {
      this.pixels = context.createImageData(image.columns, image.rows);
    }
    const words = new Uint32Array(this.pixels.data.buffer);
    for (let i = 0; i < samples.length; i++) words[i] = 0xff000000 | (shown[samples[i]] * 0x010101);
    context.putImageData(this.pixels, 0, 0);
  }
  /** 8 bits for each stored value; the slices of a series mostly share one such table. */
  table(image) {
    const how = [image.kind, image.slope, image.intercept, image.signed, image.inverted, image.lut, this.window, this.inverted];
    if (!this.how || how.some((value, place) => value !== this.how[place])) {
      this.how = how;
      this.shown = table(image, this.window, this.inverted);
    }
    return this.shown;
  }
  draw() {
    cancelAnimationFrame(this.asked);
    this.asked = requestAnimationFrame(() => this.paint());
  }
  paint() {
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.label();
    if (this.image || this.failed) this.canvas.dataset.shown = `${this.stack.series.first}+${this.drawn}`;
    if (!this.image) return;
    this.render();
    const { rows, columns, aspect } = this.image, { x, y, scale } = this.view, size = this.fit() * scale;
    context.imageSmoothingEnabled = size < 6;
    context.imageSmoothingQuality = "high";
    const left = this.canvas.width / 2 + x * this.canvas.width - (columns * size) / 2;
    const top = this.canvas.height / 2 + y * this.canvas.height - (rows * size * aspect) / 2;
    context.drawImage(this.picture, left, top, columns * size, rows * size * aspect);
    this.lines(context, left, top, size, size * aspect);
  }
  /** Where the other planes of a volume cut this one. */
  lines(context, left, top, wide, high) {
    const cuts = this.viewer.cuts;
    if (!cuts || !(this.stack instanceof CutStack)) return;
    const { across, down, flipped } = this.stack, volume = this.stack.volume;
    const at = (axis, flip) => (flip ? volume[axis] - 1 - cuts.at(axis) : cuts.at(axis)) + 0.5;
    context.strokeStyle = "#ffc90088";
    context.beginPath();
    context.moveTo(left + at(across, flipped.across) * wide, 0);
    context.lineTo(left + at(across, flipped.across) * wide, this.canvas.height);
    context.moveTo(0, top + at(down, flipped.down) * high);
    context.lineTo(this.canvas.width, top + at(down, flipped.down) * high);
    context.stroke();
  }
  label() {
    const { corners, stack, viewer } = this;
    for (const corner of Object.values(corners)) corner.textContent = "";
    if (!stack) return;
    corners.tl.textContent = viewer.title(stack.series);
    corners.bl.textContent = stack.count ? `${this.index + 1} / ${stack.count}` : viewer.say("no-picture");
    this.canvas.setAttribute("aria-label", `${viewer.title(stack.series)}, ${corners.bl.textContent}`);
    if (this.failed) corners.tr.textContent = viewer.say("undecoded");
    else if (stack.count && !this.image) corners.tr.textContent = viewer.say("loading");
    if (!this.image) return;
    if (this.image.kind !== "rgb") {
      corners.br.textContent = this.window.lut ? viewer.say("from-file")
        : `${viewer.say("level-short")} ${Math.round(this.window.center)}  ${viewer.say("width-short")} ${Math.round(this.window.width)}`;
    }
    if (this.pointed) corners.tr.textContent = this.pointed;
    const found = stack.directions(this.index);
    if (!found) return;
    corners.right.textContent = letters(found.right);
    corners.left.textContent = letters(negative(found.right));
    corners.bottom.textContent = letters(found.down);
    corners.top.textContent = letters(negative(found.down));
  }
  /** The value under a place of the canvas (in CSS pixels), in words. */
  point(x, y) {
    this.pointed = "";
    if (this.image && this.image.kind !== "rgb") {
      const { column, row } = this.place(x, y), { image } = this;
      if (column >= 0 && row >= 0 && column < image.columns && row < image.rows) {
        const stored = image.samples[row * image.columns + column];
        const signed = image.signed && stored > 32767 ? stored - 65536 : stored;
        const value = signed * image.slope + image.intercept;
        this.pointed = `${Math.round(value * 100) / 100} ${image.unit || ""}`;
      }
    }
    this.corners.tr.textContent = this.pointed || this.corners.tr.textContent;
  }
  place(x, y) {
    const ratio = this.canvas.width / Math.max(this.canvas.clientWidth, 1), { rows, columns, aspect } = this.image;
    const size = this.fit() * this.view.scale;
    const left = this.canvas.width / 2 + this.view.x * this.canvas.width - (columns * size) / 2;
    const top = this.canvas.height / 2 + this.view.y * this.canvas.height - (rows * size * aspect) / 2;
    return { column: Math.floor((x * ratio - left) / size), row: Math.floor((y * ratio - top) / (size * aspect)) };
  }
  zoom(factor) {
    const scale = Math.min(Math.max(this.view.scale * factor, 0.2), 40), change = scale / this.view.scale;
    this.view = { scale, x: this.view.x * change, y: this.view.y * change };
    this.draw();
  }
  pan(dx, dy) {
    this.view.x += dx / Math.max(this.canvas.clientWidth, 1);
    this.view.y += dy / Math.max(this.canvas.clientHeight, 1);
    this.draw();
  }
  /** Change the window by a drag: right is wider, down is darker. */
  drag(dx, dy) {
    if (!this.image || this.image.kind === "rgb") return;
    const unit = Math.max((this.image.most - this.image.least) / 1000, 1e-6) * 1.5;
    this.window = {
      center: this.window.center + dy * unit,
      width: Math.max(this.window.width + dx * unit, this.window.shape === "LINEAR_EXACT" ? unit : 1),
      shape: this.window.shape === "SIGMOID" ? "LINEAR" : this.window.shape,
    };
    this.viewer.windowed(this);
    this.draw();
  }
  reset() {
    this.view = { scale: 1, x: 0, y: 0 };
    this.inverted = false;
    this.window = this.image && this.viewer.firstWindow(this.image);
    this.draw();
  }
  actualSize() {
    if (!this.image) return;
    this.view = { scale: 1 / this.fit(), x: 0, y: 0 };
    this.draw();
  }
}
