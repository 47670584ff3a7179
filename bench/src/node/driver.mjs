// Makes a worker's transports through mediasoup's Node library, as an application does. Asked in lines of JSON on
// standard input; each is answered by one line. It ends with its input.

import { createInterface } from 'node:readline';
import * as mediasoup from 'mediasoup';

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const LISTEN = { protocol: 'udp', ip: '127.0.0.1', sendBufferSize: 8 << 20, recvBufferSize: 8 << 20 };
const PAYLOAD_TYPE = 96;

const worker = await mediasoup.createWorker({ logLevel: 'error', rtcMinPort: 20_000, rtcMaxPort: 31_999 });
worker.on('died', () => process.exit(1));
const router = await worker.createRouter({
  mediaCodecs: [
    { kind: 'audio', mimeType: 'audio/opus', clockRate: 48_000, channels: 2 },
    { kind: 'video', mimeType: 'video/VP8', clockRate: 90_000 },
  ],
});
const consumers = [];
const took = { create: [], connect: [], consume: [] };

/** Waits for a call, and notes for how many microseconds. */
async function timed(name, call) {
  const begun = process.hrtime.bigint();
  const result = await call();
  took[name].push(Number(process.hrtime.bigint() - begun) / 1e3);
  return result;
}

/** A transport to a peer: { ip, port, suite, key }; `key` is that of what the peer sends. */
async function transport({ ip, port, suite, key }) {
  const made = await timed('create', () =>
    router.createPlainTransport({ listenInfo: LISTEN, enableSrtp: suite !== null, srtpCryptoSuite: suite ?? undefined }));
  const srtpParameters = suite === null ? undefined : { cryptoSuite: suite, keyBase64: key };
  await timed('connect', () => made.connect({ ip, port, srtpParameters }));
  return made;
}

async function publish({ peer, video, ssrc }) {
  const on = await transport(peer);
  const codec = video
    ? { mimeType: 'video/VP8', clockRate: 90_000, rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }] }
    : { mimeType: 'audio/opus', clockRate: 48_000, channels: 2 };
  const producer = await on.produce({
    kind: video ? 'video' : 'audio',
    rtpParameters: { codecs: [{ ...codec, payloadType: PAYLOAD_TYPE }], encodings: [{ ssrc }], rtcp: { cname: 'bench' } },
  });
  return { port: on.tuple.localPort, id: producer.id };
}

async function subscribe({ peer, streams }, producers) {
  const on = await transport(peer);
  const promised = [];
  for (const publisher of streams) {
    const consumer = await timed('consume', () =>
      on.consume({ producerId: producers[publisher].id, rtpCapabilities: router.rtpCapabilities }));
    consumers.push(consumer);
    const { codecs, encodings } = consumer.rtpParameters;
    promised.push({ publisher, ssrc: encodings[0].ssrc, payload_type: codecs[0].payloadType });
  }
  return { port: on.tuple.localPort, key: on.srtpParameters?.keyBase64 ?? null, promised };
}

answer({ pid: worker.pid });
const producers = [];
for await (const line of createInterface({ input: process.stdin })) {
  const { connect } = JSON.parse(line);
  if (connect) {
    for (const publisher of connect.publishers) producers.push(await publish(publisher));
    const subscribed = [];
    for (const subscriber of connect.subscribers) subscribed.push(await subscribe(subscriber, producers));
    answer({ publish_to: producers.map(({ port }) => port), subscribed, took });
  } else {
    let sent = 0;
    for (const consumer of consumers) {
      const outbound = (await consumer.getStats()).find(({ type }) => type === 'outbound-rtp');
      sent += outbound.packetCount;
    }
    answer({ sent });
  }
}
