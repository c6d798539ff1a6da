// Load on the studio: CLIENTS at once for SECONDS, each asking one question after another.
//   node bench/studio_load.mjs RUN [CLIENTS 32] [SECONDS 60] [predict|explain|both]     with Mien built in build/
// Prints requests, errors, and the 50th and 99th percentile of each kind of question.
import { spawn } from 'node:child_process';
import { Agent, request } from 'node:http';

const [run, clients = '32', seconds = '60', kind = 'both'] = process.argv.slice(2);
const server = spawn(process.env.MIEN ?? 'build/bin/mien', ['serve', run, '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
const address = await new Promise((done, failed) => {
  let said = '';
  for (const stream of [server.stdout, server.stderr])
    stream.on('data', (chunk) => {
      said += chunk;
      const found = said.match(/http:\/\/[\d.]+:\d+/);
      if (found) done(found[0]);
    });
  server.on('exit', () => failed(new Error(said)));
});
const agent = new Agent({ keepAlive: true, maxSockets: Number(clients) });
const times = { predict: [], explain: [] };
let errors = 0;

function ask(path, body) {
  return new Promise((done) => {
    const text = JSON.stringify(body);
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
    const question = request(`${address}/api/v1/${path}`, { method: 'POST', agent, headers }, (answer) => {
      answer.resume();
      answer.on('end', () => done(answer.statusCode));
    });
    question.on('error', (error) => done(String(error)));
    question.end(text);
  });
}

const end = Date.now() + 1000 * Number(seconds);
await Promise.all(
  Array.from({ length: Number(clients) }, async (_, client) => {
    for (let i = client; Date.now() < end; ++i) {
      const path = kind === 'both' ? (i % 2 ? 'predict' : 'explain') : kind;
      const body = { model: 0, part: 'val', index: i % 50, ...(path === 'explain' ? { method: 'grad-cam' } : {}) };
      const begin = performance.now();
      const status = await ask(path, body);
      times[path].push(performance.now() - begin);
      if (status !== 200 && ++errors < 10) console.log(path, status);
    }
  }),
);
for (const [path, all] of Object.entries(times)) {
  all.sort((a, b) => a - b);
  const at = (share) => all[Math.min(all.length - 1, Math.floor(share * all.length))]?.toFixed(0);
  if (all.length) console.log(`${path}: ${all.length} answers, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
}
console.log(`${errors} errors, ${clients} clients, ${seconds} s`);
server.kill('SIGINT');
