// ---- stacks: rows of images that a pane scrolls through

const PRESETS = {  // center and width by modality
  CT: [["lung", -600, 1500], ["mediastinum", 40, 400], ["bone", 400, 1800], ["brain", 40, 80]],
};

// a modality is a file's word, and may be the name of what every object has
const presetsOf = (modality) => Object.prototype.hasOwnProperty.call(PRESETS, modality) ? PRESETS[modality] : [];

/** Decoded images, up to so many bytes; the ones not looked at for longest are let go. */
class Cache {
  constructor(most) { this.most = most; this.size = 0; this.images = new Map(); }
  get(key) {
    const found = this.images.get(key);
    if (found) { this.images.delete(key); this.images.set(key, found); }
    return found;
  }
  put(key, image) {
    if (this.images.has(key)) return;
    this.images.set(key, image);
    this.size += image.samples.byteLength;
    for (const [oldest, old] of this.images) {
      if (this.size <= this.most || oldest === key) break;
      this.images.delete(oldest);
      this.size -= old.samples.byteLength;
    }
  }
}

const AT_ONCE = 3;  // frames that are loaded at the same time: one that is wanted now waits for no more than these

/** Loads and decodes frames, each once at a time: what is wanted now before what may be wanted next. */
class Frames {
  constructor(load, most) {
    Object.assign(this, { load, cache: new Cache(most), loading: new Map(), wanted: [], ahead: [] });
  }
  now(number) { return this.cache.get(number); }
  async get(number) {
    const found = this.cache.get(number);
    if (found) return found;
    const work = this.loading.get(number);
    if (work) return work;
    return new Promise((resolve, reject) => { this.wanted.push({ number, resolve, reject }); this.pump(); });
  }
  /** Frames that may be wanted next, the likeliest first; those named before are forgotten. */
  next(numbers) { this.ahead = numbers; this.pump(); }
  pump() {
    while (this.loading.size < AT_ONCE) {
      const asked = this.wanted.pop();  // the one asked for last is the one that is looked at
      const number = asked ? asked.number : this.ahead.shift();
      if (number === undefined) return;
      if (!asked && (this.cache.get(number) || this.loading.has(number))) continue;
      const work = this.loading.get(number) || this.start(number);
      if (asked) work.then(asked.resolve, asked.reject); else work.catch(() => null);
    }
  }
  start(number) {
    const found = this.cache.get(number);
    if (found) return Promise.resolve(found);
    const work = this.load(number).then((bytes) => (bytes && bytes.length > 8 ? unpack(bytes) : null)).then((image) => {
      if (image) this.cache.put(number, image);
      return image;
    }).finally(() => { this.loading.delete(number); this.pump(); });
    this.loading.set(number, work);
    return work;
  }
}

/** Letters of the patient's directions: a vector of the patient's coordinates → "L", "AF", … (PS3.3 C.7.6.1.1.1). */
function letters(vector) {
  const names = [["L", "R"], ["P", "A"], ["H", "F"]];
  return [0, 1, 2].filter((axis) => Math.abs(vector[axis]) > 0.3)
    .sort((a, b) => Math.abs(vector[b]) - Math.abs(vector[a]))
    .map((axis) => names[axis][vector[axis] > 0 ? 0 : 1]).join("").slice(0, 2);
}
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const negative = (vector) => vector.map((value) => -value);

/** The images of one series. */
class SeriesStack {
  constructor(series, frames) { this.series = series; this.frames = frames; this.count = series.count; }
  now(index) { return this.frames.now(this.series.first + index); }
  image(index) { return this.frames.get(this.series.first + index); }
  /** Have the images of these places loaded, as far as there are any. */
  next(indices) { this.frames.next(indices.filter((index) => index >= 0 && index < this.count).map((index) => this.series.first + index)); }
  orientation(index) {
    const all = this.series.orientations;
    return all && (all.length === 1 ? all[0] : all[index]);
  }
  directions(index) {
    const found = this.orientation(index);
    return found && { right: found.slice(0, 3), down: found.slice(3) };
  }
  position(index) { return this.series.positions && this.series.positions[index]; }
  /** Where along the stack's normal an image lies, in mm. */
  depth(index) {
    const position = this.position(index), found = this.orientation(index);
    if (!position || !found) return null;
    const normal = cross(found.slice(0, 3), found.slice(3));
    return position.reduce((sum, value, axis) => sum + value * normal[axis], 0);
  }
  file(index) { return this.series.files ? this.series.files[index] : index; }
}

/** The voxels of an even stack, as its files hold them; halved in rows and columns where they would be too many. */
class Volume {
  constructor(stack, most) {
    const { rows, columns, volume } = stack.series;
    this.stack = stack;
    this.step = rows * columns * stack.count * 2 > most ? 2 : 1;
    this.rows = Math.ceil(rows / this.step);
    this.columns = Math.ceil(columns / this.step);
    this.slices = stack.count;
    this.spacing = { rows: volume.rows * this.step, columns: volume.columns * this.step, slices: volume.slices };
    this.voxels = new Uint16Array(this.rows * this.columns * this.slices);
    const found = stack.directions(0);
    const along = cross(found.right, found.down);
    this.axes = { columns: found.right, rows: found.down, slices: volume.ascending ? along : negative(along) };
  }
  /** Fill it; false where its images don't fit each other. */
  async fill(progress) {
    for (let slice = 0; slice < this.slices; slice++) {
      const image = await this.stack.image(slice);
      if (!image || image.kind === "rgb" || image.rows !== this.stack.series.rows) return false;
      this.first = this.first || image;
      if (image.slope !== this.first.slope || image.intercept !== this.first.intercept || image.signed !== this.first.signed) {
        return false;
      }
      const { samples, columns } = image, wide = image.kind === "grey16";
      let to = slice * this.rows * this.columns;
      for (let row = 0; row < image.rows; row += this.step) {
        for (let column = 0; column < columns; column += this.step) {
          const value = samples[row * columns + column];
          this.voxels[to++] = wide ? value : value & 0xff;
        }
      }
      progress((slice + 1) / this.slices);
    }
    return true;
  }
}

/** A volume cut along one of its planes: `across` and `down` are the axes of the picture, `through` the one scrolled along. */
class CutStack {
  constructor(volume, across, down, through) {
    Object.assign(this, { volume, across, down, through, series: volume.stack.series, count: volume[through] });
    // as is usual: the patient's left on the right, the head and the front up
    this.flipped = { across: this.points(across) < 0, down: this.points(down) < 0 };
  }
  points(axis) {
    const vector = this.volume.axes[axis];
    const main = [0, 1, 2].sort((a, b) => Math.abs(vector[b]) - Math.abs(vector[a]))[0];
    return vector[main] * (main === 2 ? -1 : 1);
  }
  directions() {
    const turned = (axis, flip) => (flip ? negative(this.volume.axes[axis]) : this.volume.axes[axis]);
    return { right: turned(this.across, this.flipped.across), down: turned(this.down, this.flipped.down) };
  }
  now(index) {
    const volume = this.volume, columns = volume[this.across], rows = volume[this.down];
    const stride = { columns: 1, rows: volume.columns, slices: volume.columns * volume.rows };
    const samples = new Uint16Array(rows * columns);
    for (let row = 0, to = 0; row < rows; row++) {
      const line = index * stride[this.through] + (this.flipped.down ? rows - 1 - row : row) * stride[this.down];
      for (let column = 0; column < columns; column++) {
        samples[to++] = volume.voxels[line + (this.flipped.across ? columns - 1 - column : column) * stride[this.across]];
      }
    }
    const aspect = volume.spacing[this.down] / volume.spacing[this.across];
    return { ...volume.first, kind: "grey16", rows, columns, samples, aspect };
  }
  async image(index) { return this.now(index); }
  position() { return null; }
  depth() { return null; }
  file() { return 0; }
}
