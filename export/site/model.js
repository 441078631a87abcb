// The exported model on this device: on its GPU by WebGPU, or else on its CPU by WebAssembly.

import {shrink, zoomCrop} from "./resize.js";
import {loadAndCompile, loadLiteRt, supportsFeature, Tensor, unloadLiteRt} from "@litertjs/core";

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
    /** Whether it looks step by step, and can stop after the glance. */
    this.glances = "read" in info.sizes;
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
   * Glance at a photo, look closer until its object is framed, and read that: `see` of
   * `export/classify.py`.
   *
   * @param {Float32Array} pixels the photo, resized to `image_size`.
   * @param {boolean} glance whether to leave it at the glance.
   * @param {(look: object) => void} show is told of each look, once it is over: its `index`, 0 of
   *     the glance, `box`, whether it is the `last`, which was read, and its `milliseconds`.
   * @returns {Promise<object>} the answer: `outputs`, of a glance with the `box` that it would
   *     read, how many `looks`, and `milliseconds` in all.
   */
  async see(pixels, glance, show) {
    const {image_size: side, sizes, refinements} = this.#info;
    const began = performance.now();
    const since = (start) => performance.now() - start;
    if (!this.glances) {
      const outputs = await this.#run("full", pixels);
      const boxes = outputs.boxes ?? [];
      const count = boxes.length / 4;
      for (let i = 0; i < count; i++) {
        show({index: i + 1, box: boxes.slice(4 * i, 4 * i + 4), last: true});
      }
      return {outputs, looks: count, milliseconds: since(began)};
    }
    let seen = await this.#run("glance", shrink(pixels, side, sizes.glance[0]));
    show({index: 0, milliseconds: since(began)});
    if (glance) return {outputs: seen, looks: 0, milliseconds: since(began)};
    const {logits} = seen;
    let looks = 0;
    const look = async (signature, box, others) => {
      const start = performance.now();
      const crop = zoomCrop(pixels, side, box, sizes[signature]);
      const outputs = await this.#run(signature, crop, others);
      looks += 1;
      show({index: looks, box, last: signature === "read", milliseconds: since(start)});
      return outputs;
    };
    while ("look" in sizes && looks < refinements && seen.framed[0] < 0.5) {
      seen = await look("look", seen.view, {view: seen.view});
    }
    const outputs = await look("read", seen.box, {logits});
    return {outputs, looks, milliseconds: since(began)};
  }

  /** Run every signature once on nothing. */
  async warm() {
    const blank = (signature) => {
      const [height, width] = this.#info.sizes[signature];
      return new Float32Array(height * width * 3);
    };
    if (!this.glances) return this.#run("full", blank("full"));
    const {logits} = await this.#run("glance", blank("glance"));
    await this.#run("read", blank("read"), {logits});
    const view = Float32Array.of(0, 0, 1, 1);
    if ("look" in this.#info.sizes) await this.#run("look", blank("look"), {view});
  }
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
