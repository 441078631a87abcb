// The exported model on this device: on its GPU by WebGPU, or else on its CPU by WebAssembly.

import {shrink, zoomCrop} from "./resize.js";
import {loadAndCompile, loadLiteRt, supportsFeature, Tensor, unloadLiteRt} from "@litertjs/core";

const SAME = 0.5; // share of a box inside another from which on both are of the same object
const RUNTIME = new URL("litert/core/wasm/", document.baseURI).href;

/** A compiled model; every tensor that a run makes is freed by it. */
class Classifier {
  #model;
  #info;

  /**
   * @param model what LiteRT compiled.
   * @param {object} info what the site says of it.
   */
  constructor(model, info) {
    this.#model = model;
    this.#info = info;
    /** "webgpu" or "wasm": what it runs on. */
    this.accelerator = model.options.accelerator;
    /** Whether all of it runs there. */
    this.whole = this.accelerator === "wasm" || model.isFullyAccelerated;
    /** Threads of the CPU. */
    this.threads = model.options.cpuOptions.numThreads ?? 1;
    /** Whether it goes from place to place, and can stop at the first. */
    this.fixates = "read" in info.sizes;
  }

  /**
   * Run a signature.
   *
   * @param {string} signature see `export/inference.py`.
   * @param {Float32Array} pixels its only image, RGB 0…255.
   * @param {Object<string, Float32Array>} others its other inputs, by name.
   * @returns {Promise<Object<string, Float32Array>>} the outputs, flat, by name.
   */
  async #run(signature, pixels, others = {}) {
    const image = signature === "full" ? "images" : "crop";
    const inputs = {[image]: new Tensor(pixels, [1, ...this.#info.sizes[signature], 3])};
    for (const [name, values] of Object.entries(others)) {
      inputs[name] = new Tensor(values, [1, values.length]);
    }
    const tensors = Object.values(inputs);
    try {
      const returned = Object.entries(await this.#model.run(signature, inputs));
      tensors.push(...returned.map(([, tensor]) => tensor));
      const values = await Promise.all(returned.map(([, tensor]) => tensor.data()));
      if (!values.flatMap((each) => [...each]).every(Number.isFinite)) {
        throw new Error("it returned no numbers");
      }
      return Object.fromEntries(returned.map(([name], i) => [name, values[i]]));
    } finally {
      tensors.forEach((tensor) => tensor.delete());
    }
  }

  /**
   * Glance at a photo, refine a place until it is framed, read it, and go on until sure: `see` of
   * `export/classify.py`.
   *
   * @param {Float32Array} pixels the photo, resized to `image_size`.
   * @param {boolean} first whether to read the first place only.
   * @param {(step: object) => void} show is told of each step, once it is over: its `index`, 0 of
   *     the glance, the `fixation` that it is part of, from 0, `box`, whether it was `read` there,
   *     and its `milliseconds`.
   * @returns {Promise<object>} the answer: `outputs`, `weights` of what was read, how many `steps`
   *     there were after the glance, and `milliseconds` in all.
   */
  async see(pixels, first, show) {
    const {image_size: side, sizes, refinements} = this.#info;
    const began = performance.now();
    const since = (start) => performance.now() - start;
    if (!this.fixates) {
      const outputs = await this.#run("full", pixels);
      return {outputs, weights: [], steps: 0, milliseconds: since(began)};
    }
    const glance = await this.#run("glance", shrink(pixels, side, sizes.glance[0]));
    show({index: 0, milliseconds: since(began)});
    let steps = 0;
    const step = async (signature, fixation, box, others) => {
      const start = performance.now();
      const crop = zoomCrop(pixels, side, box, sizes[signature]);
      const outputs = await this.#run(signature, crop, others);
      steps += 1;
      const read = signature === "read";
      show({index: steps, fixation, box, read, milliseconds: since(start)});
      return outputs;
    };
    const objects = [];
    const said = [];
    for (let k = 0; k < glance.votes.length; k++) {
      if (k && !(glance.votes[k] > 0)) break; // what nothing votes for comes last
      const of = (name) => glance[name].slice(4 * k, 4 * k + 4);
      let seen = {object: of("object"), box: of("box"), view: of("view")};
      seen.framed = glance.framed.slice(k, k + 1);
      for (let n = 0; n < refinements && seen.framed[0] < 0.5; n++) {
        seen = await step("refine", said.length, seen.view, {view: seen.view});
      }
      const same = objects.some((other) => shareInside(seen.object, other) >= SAME);
      objects.push(seen.object);
      if (same) continue;
      const outputs = await step("read", said.length, seen.box, {});
      said.push(outputs);
      const sure = this.#info.sure_from;
      if (first || (sure !== null && Math.max(...outputs.logits) >= sure)) break;
    }
    const evidence = said.map(({logits}) => Math.max(...logits));
    const weights = softmax(evidence.map((each) => each / this.#info.attention_temperature));
    const joined = (name, i) => said.reduce((sum, each, k) => sum + weights[k] * each[name][i], 0);
    const logits = Array.from(said[0].logits, (_, i) => joined("logits", i));
    const scaled = (each) => each / this.#info.temperature;
    let outputs = {
      logits,
      probabilities: softmax(logits.map(scaled)),
      score: [joined("score", 0)],
    };
    if (this.#info.thresholds) { // several classes: of each, what is surest
      const most = (name, i) => Math.max(...said.map((each) => each[name][i]));
      const logits = Array.from(said[0].logits, (_, i) => most("logits", i));
      const probabilities = logits.map((each) => 1 / (1 + Math.exp(-scaled(each))));
      outputs = {logits, probabilities, score: [most("score", 0)]};
      weights.fill(1 / said.length);
    }
    return {outputs, weights, steps, milliseconds: since(began)};
  }

  /** Run every signature once on nothing. */
  async warm() {
    const blank = (signature) => {
      const [height, width] = this.#info.sizes[signature];
      return new Float32Array(height * width * 3);
    };
    if (!this.fixates) return this.#run("full", blank("full"));
    await this.#run("glance", blank("glance"));
    await this.#run("read", blank("read"));
    const view = Float32Array.of(0, 0, 1, 1);
    if ("refine" in this.#info.sizes) await this.#run("refine", blank("refine"), {view});
  }
}

function softmax(values) {
  const most = Math.max(...values);
  const shares = values.map((value) => Math.exp(value - most));
  const sum = shares.reduce((total, share) => total + share, 0);
  return shares.map((share) => share / sum);
}

/** Return the share of a box that is inside another. */
function shareInside(box, other) {
  const height = Math.min(box[2], other[2]) - Math.max(box[0], other[0]);
  const width = Math.min(box[3], other[3]) - Math.max(box[1], other[1]);
  const area = Math.max(box[2] - box[0], 0) * Math.max(box[3] - box[1], 0);
  return (Math.max(height, 0) * Math.max(width, 0)) / (area + 1e-9);
}

/** Load the runtime for an accelerator, compile the model, and run it once on nothing. */
async function compile(bytes, info, accelerator) {
  unloadLiteRt();
  const gpu = accelerator === "webgpu";
  const relaxed = await supportsFeature("relaxedSimd");
  await loadLiteRt(RUNTIME, {
    jspi: gpu && (await supportsFeature("jspi")), // what the GPU refuses can run on the CPU
    threads: !gpu && relaxed && self.crossOriginIsolated && (await supportsFeature("threads")),
  });
  // Boxes are arithmetic on coordinates: half precision would misplace them by pixels.
  const model = await loadAndCompile(bytes, {accelerator, gpuOptions: {precision: "fp32"}});
  const classifier = new Classifier(model, info);
  await classifier.warm(); // it builds the GPU's programs; and a GPU that fails does so here
  return classifier;
}

async function fetched(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file} was answered with ${response.status}`);
  return response;
}

/** Fetch what the site says of its model: see `export/web.py`. */
export async function describe() {
  return (await fetched("model.json")).json();
}

/**
 * Load the model on the best accelerator there is.
 *
 * @param {object} info what `describe` returned.
 * @param {string} accelerator "webgpu", or "wasm" not to try it.
 * @returns {Promise<{classifier: Classifier, notice: string}>} with why it is not on the GPU, in
 *     words, or "".
 */
export async function load(info, accelerator) {
  const bytes = new Uint8Array(await (await fetched(info.file)).arrayBuffer());
  let notice = "";
  if (accelerator === "webgpu" && !(await navigator.gpu?.requestAdapter())) {
    notice = "This browser offers no WebGPU";
  } else if (accelerator === "webgpu") {
    try {
      return {classifier: await compile(bytes, info, "webgpu"), notice};
    } catch (error) {
      console.warn(error);
      notice = "WebGPU could not run the model here";
    }
  }
  return {classifier: await compile(bytes, info, "wasm"), notice};
}
