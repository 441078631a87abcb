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
 * @param {?number} knownFrom the least score of a photo of any of the classes.
 * @param {boolean} live whether the next frame follows: its numbers never rest, so they are not
 *     spoken.
 */
export function answer(labels, {outputs, looks, milliseconds}, knownFrom, live) {
  // Files of versions before have no score: the greatest logit.
  const score = (outputs.score ?? outputs.logits).reduce((most, each) => Math.max(most, each));
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
  const many = looks ? `${looks} look${looks > 1 ? "s" : ""}, ` : "";
  $("time").textContent = many + time(milliseconds);
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

/** Give the tile of a look, or of the glance (0), and say how long it took. */
function tile(index, milliseconds) {
  const name = index ? `Look ${index}` : "Glance";
  const ariaLabel = index ? "What it saw there" : "The whole photo";
  let item = $("looks").children[index];
  if (!item) {
    const canvas = element("canvas", {role: "img", ariaLabel});
    const crop = element("div", {className: "crop"}, canvas);
    item = element("li", {}, element("figure", {}, element("figcaption"), crop));
    $("looks").append(item);
  }
  const took = milliseconds === undefined ? "" : ` · ${time(milliseconds)}`;
  item.querySelector("figcaption").textContent = name + took;
  return item;
}

/** Let the outline of a look close in on its box, from that of the look before. */
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
  cut(tile(0), photo, WHOLE);
}

/**
 * Let a look's box close in, and show what is there when it has come. Of the glance, say how long
 * it took.
 *
 * @param {ImageBitmap} photo
 * @param {object} look as `Classifier.see` tells of it; the `last` is what was read.
 * @param {() => boolean} outdated whether there is another photo by now.
 */
export async function look(photo, {index, box, last, milliseconds}, outdated) {
  if (!index) return tile(index, milliseconds);
  await outline(index, box, last ? "look" : "view", index);
  if (!outdated()) cut(tile(index, milliseconds), photo, box);
}

/** Show where the glance would have read. */
export function would(box) {
  outline(1, box, "would", "would look here");
}

/** Take away what is left of a photo with more looks: all but so many outlines and looks' tiles. */
export function end(outlines, looks) {
  [...$("boxes").children].slice(outlines).forEach((old) => old.remove());
  [...$("looks").children].slice(1 + looks).forEach((old) => old.remove());
}

/** Show the weight of each recurrent step below its look, if there are several. */
export function weights(values, looks) {
  document.querySelectorAll("#looks .caption, #looks .steps").forEach((old) => old.remove());
  if (values.length === 1) return;
  const most = Math.max(...values);
  const items = [...$("looks").children].slice(1).slice(-looks);
  const read = items.filter((_, i) => $("boxes").children[i].className === "look");
  const each = values.length / read.length;
  read.forEach((item, i) => {
    const list = element("ol", {className: "steps"});
    for (const weight of values.slice(i * each, (i + 1) * each)) {
      const bar = element("i");
      bar.style.setProperty("--part", weight / most);
      bar.className = weight === most ? "most" : "";
      const value = element("data", {value: weight, textContent: percent(weight)});
      list.append(element("li", {}, bar, value));
    }
    item.append(element("p", {className: "caption", textContent: "Weight of each step"}), list);
  });
}
