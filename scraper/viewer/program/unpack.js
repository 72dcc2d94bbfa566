// ---- packed frames: what scraper/viewer/pack.py writes

/** Bytes of a base64 text. */
function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** A zlib stream, inflated: by the browser where it can, else by the lines below (RFC 1950, RFC 1951). */
async function inflate(bytes, size) {
  if (!window.DecompressionStream) return inflateHere(bytes, size);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const DISTANCES = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
  4097, 6145, 8193, 12289, 16385, 24577];
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Canonical Huffman codes: how many of each length, and the symbols in order. */
function huffman(lengths) {
  const counts = new Uint16Array(16), offsets = new Uint16Array(16), symbols = new Uint16Array(lengths.length);
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  for (let i = 1; i < 16; i++) offsets[i] = offsets[i - 1] + counts[i - 1];
  lengths.forEach((length, symbol) => { if (length) symbols[offsets[length]++] = symbol; });
  return { counts, symbols };
}

function inflateHere(bytes, size) {
  const out = new Uint8Array(size);
  let at = 2, filled = 0, held = 0, count = 0;
  const bits = (wanted) => {
    while (count < wanted) { held |= bytes[at++] << count; count += 8; }
    const value = held & ((1 << wanted) - 1);
    held >>>= wanted; count -= wanted;
    return value;
  };
  const symbol = (tree) => {
    let code = 0, first = 0, index = 0;
    for (let length = 1; length < 16; length++) {
      code |= bits(1);
      const here = tree.counts[length];
      if (code - here < first) return tree.symbols[index + code - first];
      index += here; first = (first + here) << 1; code <<= 1;
    }
    throw new Error("not a zlib stream");
  };
  const fixed = [
    huffman(Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8))),
    huffman(Array(30).fill(5)),
  ];
  const dynamic = () => {
    const literals = bits(5) + 257, distances = bits(5) + 1, codes = bits(4) + 4, lengths = Array(19).fill(0);
    for (let i = 0; i < codes; i++) lengths[CODE_ORDER[i]] = bits(3);
    const tree = huffman(lengths), all = [];
    while (all.length < literals + distances) {
      const found = symbol(tree);
      if (found < 16) { all.push(found); continue; }
      const value = found === 16 ? all[all.length - 1] : 0;
      const times = found === 16 ? 3 + bits(2) : found === 17 ? 3 + bits(3) : 11 + bits(7);
      for (let i = 0; i < times; i++) all.push(value);
    }
    return [huffman(all.slice(0, literals)), huffman(all.slice(literals))];
  };
  for (let last = 0; !last;) {
    last = bits(1);
    const kind = bits(2);
    if (kind === 0) {
      held = count = 0;
      const length = bytes[at] | (bytes[at + 1] << 8);
      out.set(bytes.subarray(at + 4, at + 4 + length), filled);
      filled += length; at += 4 + length;
      continue;
    }
    const [literal, distance] = kind === 1 ? fixed : dynamic();
    for (;;) {
      const found = symbol(literal);
      if (found < 256) { out[filled++] = found; continue; }
      if (found === 256) break;
      const place = found - 257;
      const length = LENGTHS[place] + (place < 8 || place === 28 ? 0 : bits((place >> 2) - 1));
      const back = symbol(distance);
      const far = DISTANCES[back] + (back < 4 ? 0 : bits((back >> 1) - 1));
      for (let i = 0; i < length; i++, filled++) out[filled] = out[filled - far];
    }
  }
  return out;
}

/** Undo the prediction of a plane (the median of ISO/IEC 14495-1, A.4.1). */
function unpredict(low, high, rows, columns, out) {
  const mask = high ? 0xffff : 0xff;
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      const coded = high ? low[at] | (high[at] << 8) : low[at];
      const difference = coded & 1 ? -((coded + 1) >> 1) : coded >> 1;
      let predicted;
      if (!row) predicted = column ? out[at - 1] : 0;
      else if (!column) predicted = out[at - columns];
      else {
        const left = out[at - 1], above = out[at - columns], corner = out[at - columns - 1];
        const least = left < above ? left : above, most = left < above ? above : left;
        predicted = corner >= most ? least : corner <= least ? most : left + above - corner;
      }
      out[at] = (predicted + difference) & mask;
    }
  }
  return out;
}

/** A packed frame as an image: its header, and `samples` (without a sign; `signed` says how to read them). */
async function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const image = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  if (image.as_is) {
    const samples = bytes.subarray(4 + length);  // at an even place: pack.py sees to that
    image.samples = image.kind === "grey16" ? new Uint16Array(samples.buffer, samples.byteOffset, samples.length >> 1) : samples;
    return image;
  }
  const { rows, columns, kind } = image, size = rows * columns;
  const planes = { grey8: 1, grey16: 2, rgb: 3 }[kind];
  const data = await inflate(bytes.subarray(4 + length), size * planes);
  const plane = (number) => data.subarray(number * size, (number + 1) * size);
  if (kind === "grey8") image.samples = unpredict(plane(0), null, rows, columns, new Uint8Array(size));
  if (kind === "grey16") image.samples = unpredict(plane(0), plane(1), rows, columns, new Uint16Array(size));
  if (kind === "rgb") {
    const [green, red, blue] = [0, 1, 2].map((number) => unpredict(plane(number), null, rows, columns, new Uint8Array(size)));
    image.samples = new Uint8ClampedArray(size * 4);
    for (let i = 0, to = 0; i < size; i++, to += 4) {
      image.samples[to] = (red[i] + green[i]) & 0xff;
      image.samples[to + 1] = green[i];
      image.samples[to + 2] = (blue[i] + green[i]) & 0xff;
      image.samples[to + 3] = 255;
    }
  }
  return image;
}
