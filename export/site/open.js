// Opening photos as Python does: upright by their EXIF orientation, color profiles ignored.

const AS_STORED = {colorSpaceConversion: "none"};
const ORIENTATION = 0x112; // the tag in EXIF data
// Rows of the matrix [a b; c d] by EXIF orientation: where a stored pixel's x and y go.
const TURNS = {
  2: [-1, 0, 0, 1],
  3: [-1, 0, 0, -1],
  4: [1, 0, 0, -1],
  5: [0, 1, 1, 0],
  6: [0, -1, 1, 0],
  7: [0, -1, -1, 0],
  8: [0, 1, -1, 0],
};

/**
 * Decode a photo, or the frame that a video shows.
 *
 * Browsers turn JPEGs upright. Of WebP and PNG some do not know the orientation: it is read here.
 *
 * @param {Blob|HTMLVideoElement} source what to decode.
 * @returns {Promise<ImageBitmap>} it fails where the browser cannot read it.
 */
export async function open(source) {
  if (!(source instanceof Blob)) return createImageBitmap(source, AS_STORED);
  const content = await source.arrayBuffer();
  const turn = TURNS[takeOrientation(new DataView(content))];
  if (!turn) return createImageBitmap(source, AS_STORED);
  const stored = await createImageBitmap(new Blob([content], {type: source.type}), AS_STORED);
  const turned = rotate(stored, turn);
  stored.close();
  return turned;
}

function rotate(image, [a, b, c, d]) {
  const [width, height] = a ? [image.width, image.height] : [image.height, image.width];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.setTransform(a, c, b, d, a + b < 0 ? width : 0, c + d < 0 ? height : 0);
  context.drawImage(image, 0, 0);
  return canvas.transferToImageBitmap();
}

/**
 * The EXIF orientation of a WebP or PNG file; 1, upright, of all others and where there is none.
 * The file's own is set to 1, so that no browser turns it as well.
 */
function takeOrientation(file) {
  try {
    const webp = name(file, 0) === "RIFF" && name(file, 8) === "WEBP";
    const png = file.getUint32(0) === 0x89504e47;
    if (!webp && !png) return 1;
    for (let at = webp ? 12 : 8; at + 8 < file.byteLength; ) {
      const size = webp ? file.getUint32(at + 4, true) : file.getUint32(at);
      if (webp && name(file, at) === "EXIF") return take(file, at + 8);
      if (png && name(file, at + 4) === "eXIf") return take(file, at + 8);
      at += webp ? 8 + size + (size % 2) : 12 + size;
    }
  } catch {
    // Damaged EXIF data leave a photo.
  }
  return 1;
}

function name(file, at) {
  return String.fromCharCode(...[0, 1, 2, 3].map((n) => file.getUint8(at + n)));
}

function take(file, at) {
  const start = name(file, at) === "Exif" ? at + 6 : at;
  const little = file.getUint16(start) === 0x4949;
  const directory = start + file.getUint32(start + 4, little);
  for (let n = 0; n < file.getUint16(directory, little); n++) {
    const entry = directory + 2 + 12 * n;
    if (file.getUint16(entry, little) !== ORIENTATION) continue;
    const found = file.getUint16(entry + 8, little);
    file.setUint16(entry + 8, 1, little);
    return found;
  }
  return 1;
}
