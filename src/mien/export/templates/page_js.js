// Runs the network beside this page on the camera or a dropped picture. Serve the folder by any static server.
import * as ort from "./ort.wasm.min.mjs";

const GRID = 8; // places a side at which the face is covered
const PLACES_A_FRAME = 8;
const element = (id) => document.getElementById(id);
const picture = element("picture");
const face = element("face");
const small = document.createElement("canvas");
const heat = document.createElement("canvas");
heat.width = heat.height = GRID;

const state = { ready: false, frames: 0, places: 0, probabilities: [], map: new Float32Array(GRID * GRID), error: "" };
window.mien = state; // for tests
let facts, session, source, bars, nextPlace = 0;
const square = { x: 0.5, y: 0.5, side: 0.6 }; // center and side as shares of the picture

function say(text) {
  element("status").textContent = text;
}

/** The part of the source that the network sees, in the source's pixels. */
function cropOf(width, height) {
  const side = square.side * Math.min(width, height);
  const clamp = (center, size) => Math.min(Math.max(center * size - side / 2, 0), size - side);
  return { left: clamp(square.x, width), top: clamp(square.y, height), side };
}

const sizeOf = (from) => [from.videoWidth || from.naturalWidth || from.width, from.videoHeight || from.naturalHeight || from.height];

function drawPicture() {
  const [width, height] = sizeOf(source);
  if (!width) return false;
  if (picture.width !== width || picture.height !== height) {
    picture.width = width;
    picture.height = height;
    picture.style.aspectRatio = `${width} / ${height}`;
  }
  const pen = picture.getContext("2d");
  pen.drawImage(source, 0, 0);
  const { left, top, side } = cropOf(width, height);
  pen.lineWidth = Math.max(2, width / 250);
  pen.strokeStyle = "#ffb000";
  pen.strokeRect(left, top, side, side);
  return true;
}

/** Gray levels (or red, green, blue planes) of the square, as the network takes them. */
function levelsOfSquare() {
  const [width, height] = sizeOf(source);
  const { left, top, side } = cropOf(width, height);
  small.width = facts.width;
  small.height = facts.height;
  const pen = small.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(source, left, top, side, side, 0, 0, facts.width, facts.height);
  const rgba = pen.getImageData(0, 0, facts.width, facts.height).data;
  const pixels = facts.width * facts.height;
  const levels = new Uint8Array(facts.channels * pixels);
  for (let i = 0; i < pixels; ++i) {
    const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
    if (facts.channels === 1) levels[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    else [r, g, b].forEach((level, c) => (levels[c * pixels + i] = level));
  }
  return levels;
}

/** The face with one place of the grid covered by its mean gray. */
function covered(levels, place, out) {
  out.set(levels);
  const mean = levels.reduce((sum, level) => sum + level, 0) / levels.length;
  const stepX = facts.width / GRID;
  const stepY = facts.height / GRID;
  const left = Math.max(0, Math.floor((place % GRID) * stepX - stepX / 2));
  const top = Math.max(0, Math.floor(Math.floor(place / GRID) * stepY - stepY / 2));
  const right = Math.min(facts.width, Math.ceil(left + 2 * stepX));
  const bottom = Math.min(facts.height, Math.ceil(top + 2 * stepY));
  for (let c = 0; c < facts.channels; ++c) {
    for (let y = top; y < bottom; ++y) {
      const row = (c * facts.height + y) * facts.width;
      out.fill(mean, row + left, row + right);
    }
  }
}

async function predict(levels, places) {
  const faces = new Uint8Array(levels.length * (places.length + 1));
  faces.set(levels);
  places.forEach((place, i) => covered(levels, place, faces.subarray((i + 1) * levels.length, (i + 2) * levels.length)));
  const shape = [places.length + 1, facts.channels, facts.height, facts.width];
  const result = await session.run({ faces: new ort.Tensor("uint8", faces, shape) });
  const all = result.probabilities.data;
  const classes = facts.classes.length;
  return Array.from({ length: places.length + 1 }, (_, i) => Array.from(all.slice(i * classes, (i + 1) * classes)));
}

function drawFace() {
  const pen = face.getContext("2d");
  face.width = facts.width;
  face.height = facts.height;
  pen.drawImage(small, 0, 0);
  if (!element("explain").checked) return;
  const most = Math.max(0.02, ...state.map);
  const map = heat.getContext("2d");
  const image = map.createImageData(GRID, GRID);
  state.map.forEach((drop, i) => image.data.set([220, 40, 20, Math.round(170 * Math.max(0, drop / most))], 4 * i));
  map.putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = true;
  pen.drawImage(heat, 0, 0, facts.width, facts.height);
}

function drawBars(probabilities) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  bars.forEach(({ row, bar, text }, i) => {
    row.classList.toggle("best", i === best);
    bar.style.width = `${100 * probabilities[i]}%`;
    text.textContent = `${(100 * probabilities[i]).toFixed(1)} %`;
  });
}

async function frame() {
  if (source && drawPicture()) {
    const began = performance.now();
    const levels = levelsOfSquare();
    const places = element("explain").checked
      ? Array.from({ length: PLACES_A_FRAME }, (_, i) => (nextPlace + i) % (GRID * GRID))
      : [];
    nextPlace = (nextPlace + places.length) % (GRID * GRID);
    const [probabilities, ...hidden] = await predict(levels, places);
    const best = probabilities.indexOf(Math.max(...probabilities));
    places.forEach((place, i) => (state.map[place] = probabilities[best] - hidden[i][best]));
    state.probabilities = probabilities;
    state.places += places.length;
    ++state.frames;
    drawFace();
    drawBars(probabilities);
    say(`${(performance.now() - began).toFixed(0)} ms a picture (${places.length + 1} passes)`);
  }
  requestAnimationFrame(() => frame().catch(fail));
}

function fail(error) {
  state.error = error.message;
  say(error.message);
}

async function useCamera() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  source = video;
}

async function useFile(file) {
  if (!file) return;
  try {
    source = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is no picture that this browser reads`);
  }
  state.map.fill(0);
}

function follow(event) {
  if (event.buttons === 0 && event.type !== "pointerdown") return;
  const box = picture.getBoundingClientRect();
  square.x = (event.clientX - box.left) / box.width;
  square.y = (event.clientY - box.top) / box.height;
}

function connect() {
  element("camera").addEventListener("click", () => useCamera().catch(fail));
  element("file").addEventListener("change", (event) => useFile(event.target.files[0]).catch(fail));
  element("size").addEventListener("input", (event) => (square.side = event.target.value / 100));
  picture.addEventListener("pointerdown", follow);
  picture.addEventListener("pointermove", follow);
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
  document.addEventListener("drop", (event) => useFile(event.dataTransfer.files[0]).catch(fail));
  bars = facts.classes.map((name) => {
    const row = document.createElement("div");
    row.className = "class";
    row.innerHTML = '<b></b><div class="track"><div class="bar"></div></div><span></span>';
    row.firstChild.textContent = name;
    element("classes").append(row);
    return { row, bar: row.querySelector(".bar"), text: row.lastChild };
  });
}

async function start() {
  ort.env.wasm.numThreads = 1; // more need headers that a plain static server does not send
  ort.env.wasm.wasmPaths = "./";
  facts = await (await fetch("model.json")).json();
  session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  connect();
  state.ready = true;
  say("ready");
  frame().catch(fail);
}

start().catch(fail);
