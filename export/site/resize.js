// Resizing as the Python runtime does it, so that the page says what `export/classify.py` says.

const ROWS = 256; // decoded at a time: phones refuse canvases as large as their own photos

/**
 * Weights of a triangle filter that widens with the reduction.
 *
 * @param {number} from pixels of the photo along one axis.
 * @param {number} to pixels of the result.
 * @returns {{start: number, weights: Float64Array}[]} for each pixel of the result, the first pixel
 *     that it is mixed of and the weights, which sum to 1.
 */
function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({length: to}, (_, i) => {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - reach + 0.5));
    const end = Math.min(from, Math.trunc(center + reach + 0.5));
    const weights = Float64Array.from({length: end - start}, (_, tap) =>
      Math.max(0, 1 - Math.abs((start + tap - center + 0.5) / reach)),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return {start, weights: weights.map((weight) => weight / sum)};
  });
}

/** Mix pixels of `step` values apart into RGB, rounded to whole levels as Pillow does. */
function mix(source, offset, step, weights, target, at) {
  let red = 0.5;
  let green = 0.5;
  let blue = 0.5;
  for (let tap = 0; tap < weights.length; tap++, offset += step) {
    red += weights[tap] * source[offset];
    green += weights[tap] * source[offset + 1];
    blue += weights[tap] * source[offset + 2];
  }
  target[at] = Math.floor(red);
  target[at + 1] = Math.floor(green);
  target[at + 2] = Math.floor(blue);
}

/**
 * Resize to a square, bilinear and antialiased; the aspect is not kept, as in training.
 *
 * Within 1 level of Pillow's: which axis it takes first, and rounds, depends on the shape.
 *
 * @param {ImageBitmap} photo
 * @param {number} size side in pixels.
 * @returns {Float32Array} `size * size * 3` values, RGB 0…255, row by row.
 */
export function toInput(photo, size) {
  const {width, height} = photo;
  const canvas = new OffscreenCanvas(width, Math.min(ROWS, height));
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const columns = taps(width, size);
  const narrow = new Uint8Array(height * size * 3);
  for (let top = 0; top < height; top += ROWS) {
    const rows = Math.min(ROWS, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(photo, 0, top, width, rows, 0, 0, width, rows);
    const {data} = context.getImageData(0, 0, width, rows);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < size; x++) {
        const {start, weights} = columns[x];
        mix(data, 4 * (y * width + start), 4, weights, narrow, 3 * ((top + y) * size + x));
      }
    }
  }
  const input = new Float32Array(size * size * 3);
  taps(height, size).forEach(({start, weights}, y) => {
    for (let x = 0; x < size; x++) {
      mix(narrow, 3 * (start * size + x), 3 * size, weights, input, 3 * (y * size + x));
    }
  });
  return input;
}
