// Accuracy by class and milliseconds a face of @vladmandic/face-api's expression net, on rows of a csv as FER2013's. The
// 48x48 faces are enlarged to the 112x112 that the net wants by its own code (bilinear).
//   npm install --ignore-scripts --prefix build/node @vladmandic/face-api @tensorflow/tfjs @tensorflow/tfjs-backend-wasm
//   NODE_PATH=build/node/node_modules node bench/face_api_bench.cjs FACES.csv [USAGE] [THREADS] [FACES]
const fs = require("fs");
const path = require("path");
const readline = require("readline");

const CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const THEIRS = ["angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral"]; // the same, in their words
const BATCH = 32;
const LATENCY_RUNS = 100;

async function rows(file, usage, most) {
  const labels = [], faces = [];
  let columns;
  for await (const line of readline.createInterface({ input: fs.createReadStream(file) })) {
    const cells = line.split(",").map((cell) => cell.replace(/"/g, "").trim());
    if (!columns) {
      columns = cells.map((cell) => cell.toLowerCase());
      continue;
    }
    if (usage && cells[columns.indexOf("usage")] !== usage) continue;
    if (faces.length >= most) break;
    labels.push(Number(cells[columns.indexOf("emotion")]));
    faces.push(Int32Array.from(cells[columns.indexOf("pixels")].split(/\s+/), Number));
  }
  return { labels, faces };
}

async function main(csv, usage, threads, most) {
  const tf = require("@tensorflow/tfjs");
  const wasm = require("@tensorflow/tfjs-backend-wasm");
  const faceapi = require("@vladmandic/face-api/dist/face-api.node-wasm.js");
  const folder = (name) => path.dirname(require.resolve(`${name}/package.json`));
  wasm.setWasmPaths(path.join(folder("@tensorflow/tfjs-backend-wasm"), "dist") + path.sep);
  wasm.setThreadsCount(Number(threads ?? 1));
  await tf.setBackend("wasm");
  await tf.ready();
  const net = faceapi.nets.faceExpressionNet;
  await net.loadFromDisk(path.join(folder("@vladmandic/face-api"), "model"));

  const { labels, faces } = await rows(csv, usage, Number(most ?? Infinity));
  const side = Math.sqrt(faces[0].length);
  const rgb = (face) => {
    const values = new Int32Array(3 * face.length);
    face.forEach((level, i) => values.fill(level, 3 * i, 3 * i + 3));
    return tf.tensor3d(values, [side, side, 3], "int32");
  };
  const predict = async (batch) => {
    const tensors = batch.map(rgb);
    const found = await net.predictExpressions(tensors);
    tensors.forEach((tensor) => tensor.dispose());
    return [found].flat().map((of) => {
      const scores = THEIRS.map((name) => of[name]);
      return scores.indexOf(Math.max(...scores));
    });
  };
  const matrix = CLASSES.map(() => CLASSES.map(() => 0));
  const began = process.hrtime.bigint();
  for (let begin = 0; begin < faces.length; begin += BATCH) {
    const found = await predict(faces.slice(begin, begin + BATCH));
    found.forEach((predicted, i) => { matrix[labels[begin + i]][predicted] += 1; });
  }
  const total = Number(process.hrtime.bigint() - began) / 1e6;
  const times = [];
  for (let i = 0; i < LATENCY_RUNS; ++i) {
    const start = process.hrtime.bigint();
    await predict([faces[i % faces.length]]);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  times.sort((a, b) => a - b);
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const recall = Object.fromEntries(CLASSES.map((name, i) => [name, matrix[i][i] / sum(matrix[i])]));
  console.log(JSON.stringify({
    net: `face-api ${faceapi.version.faceapi ?? faceapi.version}`, backend: tf.getBackend(), faces: faces.length,
    accuracy: sum(matrix.map((row, i) => row[i])) / faces.length, recall, matrix,
    ms_a_face_in_batches: total / faces.length, ms_one_face_median: times[times.length / 2],
  }));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
