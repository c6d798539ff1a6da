// Serves FOLDER, opens it in Chromium with a fake camera, then gives it the 48x48 gray levels in LEVELS as a picture.
// Prints what the page found as JSON. SCREENSHOT: where to put a picture of the page, if anywhere.
const fs = require("fs");
const http = require("http");
const path = require("path");
const zlib = require("zlib");
const { chromium } = require("playwright-core");

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };

function serve(folder) {
  const server = http.createServer((request, response) => {
    const name = request.url === "/" ? "index.html" : path.basename(request.url);
    fs.readFile(path.join(folder, name), (error, data) => {
      response.writeHead(error ? 404 : 200, { "Content-Type": TYPES[path.extname(name)] ?? "application/octet-stream" });
      response.end(data);
    });
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function crc(bytes) {
  let value = ~0;
  for (const byte of bytes) {
    value ^= byte;
    for (let k = 0; k < 8; ++k) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value >>> 0;
}

function png(levels, side) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(crc(body), 4);
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header[8] = 8; // bits; color type 0: gray
  const rows = Array.from({ length: side }, (_, y) => Buffer.concat([Buffer.from([0]), levels.subarray(y * side, (y + 1) * side)]));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", zlib.deflateSync(Buffer.concat(rows))), chunk("IEND", Buffer.alloc(0))]);
}

/** A video of one gray frame with a bright square. */
function video(file) {
  const [width, height] = [640, 480];
  const luma = Buffer.alloc(width * height, 90);
  for (let y = 140; y < 340; ++y) luma.fill(200, y * width + 220, y * width + 420);
  const chroma = Buffer.alloc((width * height) / 2, 128);
  const frame = Buffer.concat([Buffer.from("FRAME\n"), luma, chroma]);
  fs.writeFileSync(file, Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F20:1 Ip A1:1 C420jpeg\n`), frame, frame]));
}

async function main(folder, levelsFile, work, screenshot) {
  const clip = path.join(work, "camera.y4m");
  video(clip);
  const server = await serve(folder);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${clip}`],
  });
  try {
    const page = await browser.newPage();
    const outside = [];
    page.on("request", (request) => {
      if (!/^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(request.url())) outside.push(request.url());
    });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction(() => window.mien?.ready || window.mien?.error, null, { timeout: 120000 });
    await page.click("#camera");
    await page.waitForFunction(() => window.mien.frames >= 3 || window.mien.error, null, { timeout: 120000 });
    const camera = await page.evaluate(() => ({ frames: window.mien.frames, places: window.mien.places, error: window.mien.error }));
    if (screenshot) await page.screenshot({ path: screenshot });
    await page.locator("#size").fill("100");
    await page.setInputFiles("#file", { name: "face.png", mimeType: "image/png", buffer: png(fs.readFileSync(levelsFile), 48) });
    const from = await page.evaluate(() => window.mien.frames);
    await page.waitForFunction((count) => window.mien.frames >= count + 10 || window.mien.error, from, { timeout: 120000 });
    const picture = await page.evaluate(() => ({ probabilities: window.mien.probabilities, error: window.mien.error, map: Array.from(window.mien.map), shown: document.getElementById("picture").width }));
    if (screenshot) await page.screenshot({ path: screenshot.replace(/\.png$/, "-picture.png") });
    console.log(JSON.stringify({ camera, picture, outside }));
  } finally {
    await browser.close();
    server.close();
  }
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
