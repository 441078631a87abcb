// Resizing as the Python runtime does it, so that the page says what `export/classify.py` says.

const ROWS = 256; // decoded at a time: phones refuse canvases as large as their own photos
const STRIDE = 4; // pixels between samples of a crop, beyond which more are taken and averaged

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
 * @returns {Float32Array} `size * size * 3` values, RGB 0…255, row by row: whole levels.
 */
export function resize(photo, size) {
  const {width, height} = photo;
  const canvas = new OffscreenCanvas(width, Math.min(ROWS, height));
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const columns = taps(width, size);
  const narrow = new Uint8Array(height * size * 3);
  for (let top = 0; top < height; top += ROWS) {
    const rows = Math.min(ROWS, height - top);
    context.fillStyle = "white"; // what shows where a photo is transparent
    context.fillRect(0, 0, width, rows);
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

/** Mix what lies at fractional places along rows (`step` values apart) of pixels, or down them. */
function sample(source, [height, width], places, down) {
  const shape = down ? [places.length, width] : [height, places.length];
  const result = new Float32Array(shape[0] * shape[1] * 3);
  const last = (down ? height : width) - 2;
  const step = 3 * (down ? width : 1); // from one of the two neighbors to the other
  const others = down ? width : height;
  places.forEach((place, i) => {
    const low = Math.min(Math.floor(place), last);
    const share = place - low;
    for (let other = 0; other < others; other++) {
      const from = 3 * (down ? low * width + other : other * width + low);
      const to = 3 * (down ? i * width + other : other * places.length + i);
      for (let channel = 0; channel < 3; channel++) {
        const value = source[from + channel];
        result[to + channel] = value + share * (source[from + step + channel] - value);
      }
    }
  });
  return result;
}

/** Average each `count` neighbors along rows of pixels, or down them. */
function average(source, [height, width], count, down) {
  if (count === 1) return source;
  const [rows, columns] = down ? [height / count, width] : [height, width / count];
  const result = new Float32Array(rows * columns * 3);
  const step = 3 * (down ? width : 1);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const first = 3 * (down ? row * count * width + column : row * width + column * count);
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = 0; i < count; i++) sum += source[first + i * step + channel];
        result[3 * (row * columns + column) + channel] = sum / count;
      }
    }
  }
  return result;
}

const range = (count, place) => Array.from({length: count}, (_, i) => place(i));
const within = (value, most) => Math.min(Math.max(value, 0), most);

/**
 * Shrink a square photo for the glance: whole pixels averaged, then bilinearly.
 *
 * @param {Float32Array} pixels `side * side * 3` values.
 * @param {number} side
 * @param {number} size side of the result.
 * @returns {Float32Array} `size * size * 3` values.
 */
export function shrink(pixels, side, size) {
  let factor = Math.max(1, Math.floor(side / size));
  while (side % factor) factor--;
  const small = side / factor;
  const places = range(size, (i) => within(((i + 0.5) * small) / size - 0.5, small - 1));
  let x = sample(average(pixels, [side, side], factor, true), [small, side], places, true);
  x = average(x, [size, side], factor, false);
  return sample(x, [size, small], places, false);
}

/**
 * Cut a box out of a square photo and resize it, bilinearly: see `zoom_crop` of
 * `export/classify.py`.
 *
 * @param {Float32Array} pixels `side * side * 3` values.
 * @param {number} side
 * @param {ArrayLike<number>} box `y0 x0 y1 x1` in [0, 1].
 * @param {[number, number]} size height and width of the result.
 * @returns {Float32Array} `height * width * 3` values.
 */
export function zoomCrop(pixels, side, box, size) {
  const last = side - 1;
  const many = size.map((length) => Math.max(1, Math.ceil(last / length / STRIDE)));
  const [rows, columns] = [0, 1].map((axis) => {
    const count = many[axis] * size[axis];
    const reach = box[axis + 2] - box[axis];
    return range(count, (i) => within((box[axis] + (reach * i) / (count - 1)) * last, last));
  });
  let x = sample(pixels, [side, side], rows, true);
  x = average(x, [rows.length, side], many[0], true);
  x = sample(x, [size[0], side], columns, false);
  return average(x, [size[0], columns.length], many[1], false);
}
