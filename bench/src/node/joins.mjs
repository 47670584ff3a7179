// How long the calls of a WebRTC viewer take in mediasoup's Node library, with each of some workers in turn, so that
// whatever else Node does meets all of them alike. Asked by one line of JSON on standard input:
// { workers, viewers, first, core }; without a core they run where they like. Answers with one line: for each worker
// { create, connect, consume } in microseconds.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as mediasoup from 'mediasoup';

const LISTEN = { protocol: 'udp', ip: '127.0.0.1' };
const CODEC = { mimeType: 'video/VP8', clockRate: 90_000 };
const PRODUCED = {
  codecs: [{ ...CODEC, payloadType: 96, rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }] }],
  encodings: [{ ssrc: 1_000 }],
  rtcp: { cname: 'bench' },
};
const fingerprint = Array.from({ length: 32 }, (_, at) => (16 + at).toString(16).toUpperCase()).join(':');
const dtlsParameters = { role: 'client', fingerprints: [{ algorithm: 'sha-256', value: fingerprint }] };

/** A worker with a producer whose viewers come to a WebRtcServer. */
async function start(workerBin, core) {
  const worker = await mediasoup.createWorker({ logLevel: 'error', workerBin });
  worker.on('died', (error) => { throw error; });
  if (core !== null) execFileSync('taskset', ['-apc', core, worker.pid]);
  const router = await worker.createRouter({ mediaCodecs: [{ kind: 'video', ...CODEC }] });
  const plain = await router.createPlainTransport({ listenInfo: LISTEN, comedia: true });
  const { id: producerId } = await plain.produce({ kind: 'video', rtpParameters: PRODUCED });
  const webRtcServer = await worker.createWebRtcServer({ listenInfos: [LISTEN] });
  return { router, producerId, webRtcServer, took: { create: [], connect: [], consume: [] } };
}

/** Waits for a call, and notes for how many microseconds. */
async function timed(times, call) {
  const begun = process.hrtime.bigint();
  const result = await call();
  times.push(Number(process.hrtime.bigint() - begun) / 1e3);
  return result;
}

async function join({ router, producerId, webRtcServer, took }) {
  const on = await timed(took.create, () => router.createWebRtcTransport({ webRtcServer }));
  await timed(took.connect, () => on.connect({ dtlsParameters }));
  await timed(took.consume, () => on.consume({ producerId, rtpCapabilities: router.rtpCapabilities }));
}

const { workers, viewers, first, core } = JSON.parse(readFileSync(0, 'utf8'));
const started = [];
for (const workerBin of workers) started.push(await start(workerBin, core));
for (let viewer = 0; viewer < viewers; viewer++) {
  for (let turn = 0; turn < started.length; turn++) await join(started[(first + viewer + turn) % started.length]);
}
process.stdout.write(`${JSON.stringify(started.map(({ took }) => took))}\n`, () => process.exit());
