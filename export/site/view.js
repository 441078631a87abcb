// What the page shows of an answer.

const $ = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %`;
const TOP = 5;
const WHOLE = [0, 0, 1, 1];
const SIDE = 1600; // pixels at most of what is shown of a photo
const CROP = 640; // and of a crop

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Say something in words below the photo; "" takes it back. */
export function say(text) {
  $("message").textContent = text;
}

/** Say that there will be no answer, and why. */
export function failed(text) {
  say(text);
  $("status").textContent = "No model";
}

/**
 * Say where the model runs, and offer the other accelerator.
 *
 * @param {object|null} classifier what was loaded; `null` while it loads.
 * @param {string} notice why it is not on the GPU.
 * @param {() => void} change loads it on the other one.
 */
export function runtime(classifier, notice, change) {
  $("time").textContent = "";
  $("notice").replaceChildren();
  if (!classifier) return ($("status").textContent = "Loading the model…");
  const gpu = classifier.accelerator === "webgpu";
  const threads = classifier.threads > 1 ? `, ${classifier.threads} threads` : "";
  const whole = classifier.whole ? "on the GPU (WebGPU)" : "on GPU (WebGPU) and CPU";
  $("status").textContent = gpu ? whole : `on the CPU (WebAssembly${threads})`;
  if (notice) return $("notice").append(`${notice}: it runs on the CPU, more slowly.`);
  const textContent = gpu ? "Run on the CPU instead" : "Run on the GPU instead";
  $("notice").append(element("button", {type: "button", textContent, onclick: change}));
}

export function busy(is) {
  document.querySelector("main").ariaBusy = is;
}

export function dragged(over) {
  $("stage").classList.toggle("over", over);
}

export function camera(on) {
  $("camera").ariaPressed = on;
  $("camera").textContent = on ? "Stop the camera" : "Use the camera";
  $("boxes").classList.toggle("live", on);
}

/** Offer what the model can: its classes, and whether it can stop after the glance. */
export function offer({labels, samples}, glances, choose) {
  $("modes").hidden = !glances;
  $("classes").hidden = false;
  $("classes").querySelector("summary").textContent = `The ${labels.length} classes it knows`;
  $("classes").querySelector("p").textContent = labels.join(", ").replaceAll("_", " ");
  for (const {file, name} of samples) {
    const button = element("button", {type: "button", title: name, onclick: () => choose(file)});
    button.append(element("img", {src: file, alt: `Sample: ${name}`}));
    $("samples").append(button);
  }
}

/** Draw part of an image, by its box in pixels, into a canvas of at most `side` pixels. */
function draw(canvas, image, left, top, width, height, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, left, top, width, height, 0, 0, canvas.width, canvas.height);
}

/** Paint the photo, or a frame of the camera, large. */
export function paint(image, width = image.width, height = image.height) {
  draw($("photo"), image, 0, 0, width, height, SIDE);
  $("photo").ariaLabel = "The photo that was looked at";
  $("frame").style.setProperty("--aspect", width / height);
  $("stage").classList.remove("empty");
}

/** Take the boxes and crops of another photo away. */
export function clear() {
  $("boxes").replaceChildren();
  $("looks").replaceChildren();
}

/**
 * Show the most probable classes, or that it is none of them, and how long it took.
 *
 * @param {string[]} labels in the order of the probabilities.
 * @param {object} result of a run.
 * @param {?number} knownFrom the least score, greatest logit, of a photo of any of the classes.
 * @param {boolean} live whether the next frame follows: its numbers never rest, so they are not
 *     spoken.
 */
export function answer(labels, {outputs, milliseconds}, knownFrom, live) {
  const score = outputs.logits.reduce((most, logit) => Math.max(most, logit));
  const none = knownFrom != null && score < knownFrom;
  const beside = `score ${score.toFixed(2)}, known from ${knownFrom?.toFixed(2)}`;
  $("none").textContent = none ? "None of these" : "";
  $("score").textContent = none ? beside : "";
  const order = Array.from(outputs.probabilities.keys());
  order.sort((a, b) => outputs.probabilities[b] - outputs.probabilities[a]);
  const list = $("top");
  order.slice(0, TOP).forEach((index, rank) => {
    const probability = outputs.probabilities[index];
    const cells = ["span", "data", "i"].map((each) => element(each));
    const row = list.children[rank] ?? list.appendChild(element("li", {}, ...cells));
    const [name, value, bar] = row.children;
    name.textContent = labels[index].replaceAll("_", " ");
    value.value = probability;
    value.textContent = percent(probability);
    bar.style.setProperty("--part", probability);
  });
  $("time").textContent = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  const [name, value] = list.firstChild.children;
  list.hidden = none;
  const named = live ? name.textContent : `${name.textContent}, ${value.textContent}`;
  const spoken = none ? "None of these" : named;
  if ($("summary").textContent !== spoken) $("summary").textContent = spoken;
}

function place(box, [top, left, bottom, right]) {
  box.style.inset = [top, 1 - right, 1 - bottom, left].map((part) => `${100 * part}%`).join(" ");
}

function settled(box) {
  return Promise.allSettled(box.getAnimations().map((animation) => animation.finished));
}

/** Draw what is inside a box from all the pixels that the photo has there. */
function cut(item, photo, [top, left, bottom, right]) {
  const [width, height] = [(right - left) * photo.width, (bottom - top) * photo.height];
  const canvas = item.querySelector("canvas");
  draw(canvas, photo, left * photo.width, top * photo.height, width, height, CROP);
}

function tile(index) {
  const name = index ? `Look ${index}` : "Glance";
  const ariaLabel = index ? "The crop" : "The whole photo";
  const canvas = element("canvas", {role: "img", ariaLabel});
  const crop = element("div", {className: "crop"}, canvas);
  const made = element("figure", {}, element("figcaption", {textContent: name}), crop);
  return $("looks").appendChild(element("li", {}, made));
}

/** Show the weight of each of a look's steps. */
function steps(item, weights, most) {
  item.querySelectorAll(".caption, .steps").forEach((old) => old.remove());
  const list = element("ol", {className: "steps"});
  for (const weight of weights) {
    const bar = element("i");
    bar.style.setProperty("--part", weight / most);
    bar.className = weight === most ? "most" : "";
    const value = element("data", {value: weight, textContent: percent(weight)});
    list.append(element("li", {}, bar, value));
  }
  item.append(element("p", {className: "caption", textContent: "Weight of each step"}), list);
}

/**
 * Let the boxes close in one after the other, and show each crop when its box has come.
 *
 * @param {ImageBitmap} photo
 * @param {Object<string, Float32Array>} outputs what the model returned.
 * @param {boolean} glance whether it looked no closer: its box is where it would.
 * @param {() => boolean} outdated whether there is another photo by now.
 */
export async function looks(photo, outputs, glance, outdated) {
  const count = (outputs.boxes?.length ?? 0) / 4;
  const boxes = Array.from({length: count}, (_, i) => outputs.boxes.slice(4 * i, 4 * i + 4));
  const weights = Array.from(outputs.step_weights ?? []);
  const shown = [...$("boxes").children];
  const tiles = [...$("looks").children];
  shown.slice(count).forEach((box) => box.remove());
  tiles.slice(glance ? 1 : 1 + count).forEach((item) => item.remove());
  cut(tiles[0] ?? tile(0), photo, WHOLE);
  for (const [i, box] of boxes.entries()) {
    let outline = shown[i];
    if (!outline) {
      outline = element("div");
      place(outline, boxes[i - 1] ?? WHOLE);
      $("boxes").append(outline);
      outline.getBoundingClientRect(); // so that there is a place to close in from
    }
    outline.className = glance ? "would" : "look";
    outline.dataset.name = glance ? "would look here" : i + 1;
    place(outline, box);
    if (glance) continue;
    if (!shown[i]) await settled(outline);
    if (outdated()) return;
    const item = tiles[i + 1] ?? tile(i + 1);
    cut(item, photo, box);
    const each = weights.length / count;
    steps(item, weights.slice(i * each, (i + 1) * each), Math.max(...weights));
  }
}
