// Where photos come from, and what happens with them: one run at a time.

import {describe, load} from "./model.js";
import {open} from "./open.js";
import {resize} from "./resize.js";
import * as view from "./view.js";

const $ = (id) => document.getElementById(id);
const NO_CAMERA = {
  NotAllowedError: "The camera was not allowed.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
};

let info;
let classifier;
let photo; // what is looked at, or was last
let camera;
let turn = 0; // of what was asked for last; what is older is dropped
let queue = start();

// === The model ===

async function start() {
  try {
    info = await describe();
    await use("webgpu");
  } catch (error) {
    console.error(error);
    view.failed(`The model could not be loaded: ${error.message}. Reload the page to try again.`);
    view.busy(false);
    return;
  }
  view.offer(info, classifier.fixates, choose);
  if (turn) return; // the visitor was faster
  view.busy(false);
  if (info.samples.length) choose(info.samples[0].file);
}

async function use(accelerator) {
  const {classifier: loaded, notice} = await load(info, accelerator);
  classifier = loaded;
  view.runtime(loaded, notice, () => {
    view.runtime(null);
    enqueue(() => use(loaded.accelerator === "webgpu" ? "wasm" : "webgpu"));
    if (photo && !camera) classify();
  });
}

async function see(...what) {
  try {
    return await classifier.see(...what);
  } catch (error) {
    if (classifier.accelerator === "wasm") throw error;
    console.warn(error); // drivers reset, and phones take the GPU away
    await use("wasm");
    return classifier.see(...what);
  }
}

// === What is there ===

async function look(outdated, live) {
  const mode = document.querySelector("[name=mode]:checked").value;
  let shown = view.glance(photo); // each box closes in once the one before has
  const show = (one) => (shown = shown.then(() => outdated() || view.step(photo, one, outdated)));
  const result = await see(resize(photo, info.image_size), mode === "first", show);
  if (outdated()) return;
  view.answer(info, result, live);
  view.end(result.steps);
  await shown;
  if (!outdated()) view.weights(result.weights);
}

function enqueue(task) {
  queue = queue.then(() => classifier && task()).catch((error) => {
    console.error(error);
    view.say(`That did not work: ${error.message}.`);
  });
  return queue;
}

function ask() {
  view.say("");
  view.busy(true);
  turn += 1;
  const mine = turn;
  return () => mine !== turn;
}

function classify() {
  const outdated = ask();
  view.clear();
  enqueue(() => outdated() || look(outdated, false)).then(() => outdated() || view.busy(false));
}

async function openPhoto(blob) {
  stopCamera();
  const outdated = ask();
  let opened;
  try {
    opened = await open(blob);
  } catch {
    if (outdated()) return;
    view.say("That is not an image, or not one that this browser can read.");
    view.busy(false);
    return;
  }
  if (outdated()) return opened.close();
  photo?.close();
  photo = opened;
  view.paint(photo);
  classify();
}

async function choose(file) {
  const outdated = ask();
  const answer = await fetch(file).catch(() => new Response());
  if (!outdated()) openPhoto(await answer.blob());
}

// === The camera ===

async function startCamera() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
  } catch (error) {
    const insecure = navigator.mediaDevices ? error.message : "Cameras need a page on https.";
    return view.say(NO_CAMERA[error.name] ?? insecure);
  }
  const video = document.createElement("video");
  Object.assign(video, {muted: true, playsInline: true, srcObject: stream});
  camera = stream;
  const outdated = ask();
  view.clear();
  view.camera(true);
  await video.play();
  let looking = false;
  while (camera === stream) {
    await new Promise(requestAnimationFrame);
    if (camera !== stream || video.readyState < video.HAVE_CURRENT_DATA) continue;
    view.paint(video, video.videoWidth, video.videoHeight);
    if (looking) continue; // at most one in flight: frames in between are shown, not looked at
    looking = true;
    enqueue(async () => {
      if (camera !== stream) return;
      const frame = await open(video);
      photo?.close();
      photo = frame;
      await look(outdated, true);
    }).then(() => (looking = false));
  }
}

function stopCamera() {
  if (!camera) return;
  camera.getTracks().forEach((track) => track.stop());
  camera = undefined;
  view.camera(false);
  view.busy(false);
  if (photo) view.paint(photo);
}

// === What the visitor does ===

$("file").addEventListener("change", ({target}) => {
  if (target.files.length) openPhoto(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
$("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
$("modes").addEventListener("change", () => photo && !camera && classify());
document.addEventListener("paste", ({clipboardData}) => {
  if (clipboardData.files.length) openPhoto(clipboardData.files[0]);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  view.dragged(true);
});
document.addEventListener("dragleave", ({relatedTarget}) => relatedTarget ?? view.dragged(false));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  view.dragged(false);
  openPhoto(event.dataTransfer.files[0]);
});
