// Accuracy and milliseconds a face of an ONNX file in onnxruntime-node, on rows of a csv as FER2013's.
//   NODE_PATH=build/node/node_modules node bench/onnx_bench.cjs FILE.onnx FACES.csv [USAGE] [THREADS]
const fs = require("fs");
const readline = require("readline");
const ort = require("onnxruntime-node");

const BATCH = 64;
const LATENCY_RUNS = 200;

async function rows(file, usage) {
  const labels = [], faces = [];
  let columns;
  for await (const line of readline.createInterface({ input: fs.createReadStream(file) })) {
    const cells = line.split(",").map((cell) => cell.replace(/"/g, ""));
    if (!columns) {
      columns = cells.map((cell) => cell.trim().toLowerCase());
      continue;
    }
    if (usage && cells[columns.indexOf("usage")] !== usage) continue;
    labels.push(Number(cells[columns.indexOf("emotion")]));
    faces.push(Uint8Array.from(cells[columns.indexOf("pixels")].trim().split(/\s+/), Number));
  }
  return { labels, faces };
}

async function main(model, csv, usage, threads) {
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: Number(threads ?? 1) });
  const { labels, faces } = await rows(csv, usage);
  const side = Math.sqrt(faces[0].length);
  const run = async (batch) => {
    const levels = new Uint8Array(batch.length * side * side);
    batch.forEach((face, i) => levels.set(face, i * side * side));
    return (await session.run({ faces: new ort.Tensor("uint8", levels, [batch.length, 1, side, side]) }))[session.outputNames[0]].data;
  };
  let correct = 0;
  const began = process.hrtime.bigint();
  for (let begin = 0; begin < faces.length; begin += BATCH) {
    const batch = faces.slice(begin, begin + BATCH);
    const output = await run(batch);
    const classes = output.length / batch.length;
    batch.forEach((_, i) => {
      const scores = output.slice(i * classes, (i + 1) * classes);
      correct += scores.indexOf(Math.max(...scores)) === labels[begin + i];
    });
  }
  const total = Number(process.hrtime.bigint() - began) / 1e6;
  const times = [];
  for (let i = 0; i < LATENCY_RUNS; ++i) {
    const start = process.hrtime.bigint();
    await run([faces[i % faces.length]]);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  times.sort((a, b) => a - b);
  console.log(JSON.stringify({ model, faces: faces.length, accuracy: correct / faces.length,
    ms_a_face_in_batches: total / faces.length, ms_one_face_median: times[LATENCY_RUNS / 2], bytes: fs.statSync(model).size }));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
