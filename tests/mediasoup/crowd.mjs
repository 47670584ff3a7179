// More than corecast gives clients: an application that asks for hundreds of producers and thousands of consumers on
// one transport has them, as with mediasoup, and what they send and report arrives, through a pipe with SRTP as well.

import { readFileSync } from 'node:fs';
import { AUDIO, LOCAL, Peer, VIDEO, assert, opus, rtp, startWorker, until, vp8 } from './common.mjs';

const SENDERS = 1_500;
const WATCHED = 1_300;

const [one, two] = [await startWorker(), await startWorker()];
const [near, far] = [await one.createRouter({ mediaCodecs: [AUDIO, VIDEO] }), await two.createRouter({ mediaCodecs: [AUDIO, VIDEO] })];
const sender = await Peer.open();
const rssKb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${one.pid}/status`, 'utf8'))[1]);

/** A consumer. The library draws SSRCs at random: of a thousand on a transport two are the same in one run of hundreds. */
async function consume(on, options) {
  for (;;) {
    try {
      return await on.consume(options);
    } catch (error) {
      if (!/SSRC \d+ is in use/.test(error.message)) throw error;
    }
  }
}

// A transport with many producers: one of pictures, so that reports are due each second.
const ingress = await near.createPlainTransport({ listenInfo: LOCAL, comedia: true });
const producers = [await ingress.produce({ kind: 'video', rtpParameters: vp8(10) })];
while (producers.length < SENDERS) {
  producers.push(await ingress.produce({ kind: 'audio', rtpParameters: opus(1_000 + producers.length) }));
}

// A pipe that carries them all.
const pipes = await Promise.all([near, far].map((router) => router.createPipeTransport({ listenInfo: LOCAL, enableSrtp: true })));
for (const [from, to] of [pipes, [...pipes].reverse()]) {
  await from.connect({ ip: '127.0.0.1', port: to.tuple.localPort, srtpParameters: to.srtpParameters });
}
const [here, there] = pipes;
const reported = new Set();
const piped = [];
for (const { id: producerId, kind } of producers) {
  const { rtpParameters } = await consume(here, { producerId });
  const producer = await there.produce({ kind, rtpParameters });
  producer.on('trace', () => reported.add(producer.id));
  await producer.enableTraceEvent(['sr']);
  piped.push(producer);
}
const keyFrame = Buffer.from([0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
let sequence = 0;
const speak = async () => {
  sequence++;
  sender.send(rtp({ payloadType: 96, sequence, timestamp: sequence * 3_000, ssrc: 10, marker: true, payload: keyFrame }), ingress.tuple.localPort);
  for (let at = 1; at < SENDERS; at++) {
    sender.send(rtp({ payloadType: 111, sequence, timestamp: sequence * 960, ssrc: 1_000 + at }), ingress.tuple.localPort);
    if (at % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
};
await until('what each sends comes through the pipe, and its reports', async () => {
  await speak();
  return reported.size === SENDERS;
}, 60_000);
assert.equal((await piped.at(-1).getStats())[0].kind, 'audio');

// A transport that is sent more than a thousand streams.
const router = await one.createRouter({ mediaCodecs: [AUDIO, VIDEO] });
const [stage, hall] = [await router.createPlainTransport({ listenInfo: LOCAL, comedia: true }), await router.createPlainTransport({ listenInfo: LOCAL })];
await hall.connect({ ip: '127.0.0.1', port: sender.port });
const voice = await stage.produce({ kind: 'audio', rtpParameters: opus(7) });
const before = rssKb();
const consumers = [];
while (consumers.length < WATCHED) {
  consumers.push(await consume(hall, { producerId: voice.id, rtpCapabilities: router.rtpCapabilities }));
}
console.log(`${((rssKb() - before) / WATCHED).toFixed(1)} KB of memory for a consumer`);
await until('all are sent', async () => {
  sender.send(rtp({ payloadType: 111, sequence: ++sequence, timestamp: sequence * 960, ssrc: 7 }), stage.tuple.localPort);
  return (await consumers.at(-1).getStats())[0]?.packetCount > 0 && (await consumers[0].getStats())[0]?.packetCount > 0;
});
const ended = new Promise((resolve) => consumers.at(-1).once('producerclose', resolve));
voice.close();
await ended;
hall.close();
ingress.close();
assert.deepEqual((await near.dump()).mapProducerIdConsumerIds, []);
assert.deepEqual((await router.dump()).mapConsumerIdProducerId, []);
sender.close();
for (const worker of [one, two]) worker.close();
