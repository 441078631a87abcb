// What the page shows of an answer.

const $ = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %`;
const time = (milliseconds) => `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
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

/** Offer what the model can: its classes, and whether it can stop at the first place. */
export function offer({labels, samples}, fixates, choose) {
  $("modes").hidden = !fixates;
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
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
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
  $("steps").replaceChildren();
}

/**
 * Show the most probable classes, or that it is none of them, and how long it took.
 *
 * @param {object} info `model.json`: `labels` in the order of the probabilities; `known_from`, the
 *     least score of a photo of any of the classes; `thresholds`, the least probability of each
 *     where a photo may be of several.
 * @param {object} result of a run.
 * @param {boolean} live whether the next frame follows: its numbers never rest, so they are not
 *     spoken.
 */
export function answer(info, {outputs, weights, milliseconds}, live) {
  const {labels, thresholds, known_from: knownFrom} = info;
  const score = outputs.score[0];
  const unknown = knownFrom != null && score < knownFrom;
  const said = (index) => !thresholds || outputs.probabilities[index] >= thresholds[index];
  const none = unknown || !labels.some((_, index) => said(index));
  const beside = unknown
    ? `score ${score.toFixed(2)}, known from ${knownFrom.toFixed(2)}`
    : "each class is below its threshold";
  $("none").textContent = none ? "None of these" : "";
  $("score").textContent = none ? beside : "";
  const order = Array.from(outputs.probabilities.keys());
  order.sort((a, b) => outputs.probabilities[b] - outputs.probabilities[a]);
  const list = $("top");
  const shown = order.filter((index) => none || said(index)).slice(0, thresholds ? undefined : TOP);
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach((index, rank) => {
    const probability = outputs.probabilities[index];
    const cells = ["span", "data", "i"].map((each) => element(each));
    const row = list.children[rank] ?? list.appendChild(element("li", {}, ...cells));
    const [name, value, bar] = row.children;
    name.textContent = labels[index].replaceAll("_", " ");
    value.value = probability;
    value.textContent = percent(probability);
    bar.style.setProperty("--part", probability);
  });
  const count = weights.length;
  const many = count ? `${count} place${count > 1 ? "s" : ""} read, ` : "";
  $("time").textContent = many + time(milliseconds);
  const [name, value] = list.firstChild.children;
  list.hidden = none;
  const one = live ? name.textContent : `${name.textContent}, ${value.textContent}`;
  const all = shown.map((index) => labels[index].replaceAll("_", " ")).join(", ");
  const named = thresholds ? all : one;
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

/** Give the tile of a step, or of the glance (0), and say what it was and how long it took. */
function tile(index, name, milliseconds) {
  const ariaLabel = index ? "What it saw there" : "The whole photo";
  let item = $("steps").children[index];
  if (!item) {
    const canvas = element("canvas", {role: "img", ariaLabel});
    const crop = element("div", {className: "crop"}, canvas);
    item = element("li", {}, element("figure", {}, element("figcaption"), crop));
    $("steps").append(item);
  }
  item.querySelectorAll(".caption").forEach((old) => old.remove());
  const took = milliseconds === undefined ? "" : ` · ${time(milliseconds)}`;
  item.querySelector("figcaption").textContent = name + took;
  return item;
}

/** Let the outline of a step close in on its box, from that of the step before. */
async function outline(index, box, className, name) {
  let one = $("boxes").children[index - 1];
  const fresh = !one;
  if (fresh) {
    one = element("div");
    one.style.inset = $("boxes").lastChild?.style.inset ?? "0%";
    $("boxes").append(one);
    one.getBoundingClientRect(); // so that there is a place to close in from
  }
  one.className = className;
  one.dataset.name = name;
  place(one, box);
  if (fresh) await settled(one);
}

/** Show the whole photo as what was seen first. */
export async function glance(photo) {
  cut(tile(0, "Glance"), photo, WHOLE);
}

/**
 * Let a step's box close in, and show what is there when it has come. Of the glance, say how long
 * it took.
 *
 * @param {ImageBitmap} photo
 * @param {object} step as `Classifier.see` tells of it.
 * @param {() => boolean} outdated whether there is another photo by now.
 */
export async function step(photo, {index, fixation, box, read, milliseconds}, outdated) {
  if (!index) return tile(0, "Glance", milliseconds);
  const name = `${fixation + 1} · ${read ? "Read" : "Refine"}`;
  await outline(index, box, read ? "read" : "view", read ? fixation + 1 : "");
  if (outdated()) return;
  const item = tile(index, name, milliseconds);
  item.className = read ? "read" : "";
  cut(item, photo, box);
}

/** Take away what is left of a photo with more steps: all but so many outlines and tiles. */
export function end(steps) {
  [...$("boxes").children].slice(steps).forEach((old) => old.remove());
  [...$("steps").children].slice(1 + steps).forEach((old) => old.remove());
}

/** Show the weight of each place that was read below its crop, if there are several. */
export function weights(values) {
  const most = Math.max(...values);
  $("boxes").querySelectorAll(".read").forEach((box, i) => {
    box.classList.toggle("most", values[i] === most);
  });
  if (values.length === 1) return;
  $("steps").querySelectorAll(".read").forEach((item, i) => {
    const textContent = `weight ${percent(values[i])}`;
    item.append(element("p", {className: "caption", textContent}));
  });
}
