// The exported model on this device: on its GPU by WebGPU, or else on its CPU by WebAssembly.

import {loadAndCompile, loadLiteRt, supportsFeature, Tensor, unloadLiteRt} from "@litertjs/core";

const RUNTIME = new URL("litert/core/wasm/", document.baseURI).href;

/** A compiled model; every tensor that a run makes is freed by it. */
class Classifier {
  #model;
  #size;

  /**
   * @param model what LiteRT compiled.
   * @param {number} size side of its input in pixels.
   */
  constructor(model, size) {
    this.#model = model;
    this.#size = size;
    /** "webgpu" or "wasm": what it runs on. */
    this.accelerator = model.options.accelerator;
    /** Whether all of it runs there. */
    this.whole = this.accelerator === "wasm" || model.isFullyAccelerated;
    /** Threads of the CPU. */
    this.threads = model.options.cpuOptions.numThreads ?? 1;
    /** Whether it can stop after the glance. */
    this.glances = "glance" in model.signatures;
  }

  /**
   * Run a signature.
   *
   * @param {string} signature "full" or "glance".
   * @param {Float32Array} pixels `size * size * 3` values, RGB 0…255.
   * @returns {Promise<{outputs: Object<string, Float32Array>, milliseconds: number}>} the outputs
   *     flat, by their names in `export/inference.py`; the time until they could be read.
   */
  async run(signature, pixels) {
    const began = performance.now();
    const tensors = [new Tensor(pixels, [1, this.#size, this.#size, 3])];
    try {
      const returned = Object.entries(await this.#model.run(signature, {images: tensors[0]}));
      tensors.push(...returned.map(([, tensor]) => tensor));
      const values = await Promise.all(returned.map(([, tensor]) => tensor.data()));
      const outputs = Object.fromEntries(returned.map(([name], i) => [name, values[i]]));
      if (!outputs.probabilities.every(Number.isFinite)) throw new Error("it returned no numbers");
      return {outputs, milliseconds: performance.now() - began};
    } finally {
      tensors.forEach((tensor) => tensor.delete());
    }
  }
}

/** Load the runtime for an accelerator, compile the model, and run it once on nothing. */
async function compile(bytes, size, accelerator) {
  unloadLiteRt();
  const gpu = accelerator === "webgpu";
  const relaxed = await supportsFeature("relaxedSimd");
  await loadLiteRt(RUNTIME, {
    jspi: gpu && (await supportsFeature("jspi")), // what the GPU refuses can run on the CPU
    threads: !gpu && relaxed && self.crossOriginIsolated && (await supportsFeature("threads")),
  });
  // Boxes are arithmetic on coordinates: half precision would misplace them by pixels.
  const model = await loadAndCompile(bytes, {accelerator, gpuOptions: {precision: "fp32"}});
  const classifier = new Classifier(model, size);
  // The first run builds the GPU's programs; and a GPU that fails does so here.
  await classifier.run("full", new Float32Array(size * size * 3));
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
 * @param {{file: string, image_size: number}} info
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
      return {classifier: await compile(bytes, info.image_size, "webgpu"), notice};
    } catch (error) {
      console.warn(error);
      notice = "WebGPU could not run the model here";
    }
  }
  return {classifier: await compile(bytes, info.image_size, "wasm"), notice};
}
