// Runs every NAME[.KIND].onnx of a folder on the gray levels in NAME.levels and writes its output as NAME[.KIND].found.
const fs = require("fs");
const path = require("path");
const ort = require("onnxruntime-node");

async function main(folder) {
  for (const file of fs.readdirSync(folder).filter((name) => name.endsWith(".onnx"))) {
    const stem = file.slice(0, -".onnx".length);
    const session = await ort.InferenceSession.create(path.join(folder, file), { intraOpNumThreads: 1, logSeverityLevel: 3 });
    const levels = new Uint8Array(fs.readFileSync(path.join(folder, stem.split(".")[0] + ".levels")));
    const [channels, height, width] = JSON.parse(fs.readFileSync(path.join(folder, stem.split(".")[0] + ".shape")));
    const count = levels.length / (channels * height * width);
    const faces = new ort.Tensor("uint8", levels, [count, channels, height, width]);
    const output = (await session.run({ faces }))[session.outputNames[0]].data;
    fs.writeFileSync(path.join(folder, stem + ".found"), Buffer.from(output.buffer, output.byteOffset, output.byteLength));
  }
}

main(process.argv[2]).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
