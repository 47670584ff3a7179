// What the tests with mediasoup's Node library share: a worker, a room's codecs, RTP packets and sockets that send and
// receive them.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import * as mediasoup from 'mediasoup';

export { assert, mediasoup };

export const AUDIO = { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2 };
export const VIDEO = { kind: 'video', mimeType: 'video/VP8', clockRate: 90000 };
export const LOCAL = { protocol: 'udp', ip: '127.0.0.1' };

const PATIENCE_MS = 10_000;

/** A worker whose death fails the test. */
export async function startWorker(settings = {}) {
  const worker = await mediasoup.createWorker({ logLevel: 'warn', logTags: ['info'], rtcMinPort: 32_000,
    rtcMaxPort: 32_999, ...settings });
  worker.on('died', (error) => { throw error; });
  return worker;
}

/** The next event of this name, or a failure after some time. */
export async function next(emitter, name) {
  const [value] = await once(emitter, name, { signal: AbortSignal.timeout(PATIENCE_MS) });
  return value;
}

/** Asks again until something is so. */
export async function until(what, isSo, patienceMs = PATIENCE_MS) {
  const end = Date.now() + patienceMs;
  for (;;) {
    const value = await isSo();
    if (value) return value;
    assert.ok(Date.now() < end, `never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What a request is refused with: the error. */
export async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('was accepted');
}

/** A UDP socket on loopback that keeps what comes. */
export class Peer {
  static async open() {
    const peer = new Peer();
    peer.socket = createSocket('udp4');
    peer.packets = [];
    peer.socket.on('message', (packet) => peer.packets.push(packet));
    peer.socket.bind(0, '127.0.0.1');
    await once(peer.socket, 'listening');
    return peer;
  }

  get port() { return this.socket.address().port; }

  send(packet, port) { this.socket.send(packet, port, '127.0.0.1'); }

  /** Packets of RTP that have come, of this SSRC. */
  rtp(ssrc) {
    return this.packets.filter((packet) => packet.length >= 12 && (packet[1] & 0x7f) < 64 === false
      && !isRtcp(packet) && packet.readUInt32BE(8) === ssrc);
  }

  /** Packets of RTCP that have come. */
  get rtcp() { return this.packets.filter(isRtcp); }

  close() { this.socket.close(); }
}

const isRtcp = (packet) => packet.length >= 8 && packet[1] >= 192 && packet[1] <= 223;

/** An RTP packet. */
export function rtp({ payloadType, sequence, timestamp = 0, ssrc, marker = false, payload = Buffer.from([1, 2, 3]) }) {
  const header = Buffer.alloc(12);
  header[0] = 0x80;
  header[1] = (marker ? 0x80 : 0) | payloadType;
  header.writeUInt16BE(sequence & 0xffff, 2);
  header.writeUInt32BE(timestamp >>> 0, 4);
  header.writeUInt32BE(ssrc, 8);
  return Buffer.concat([header, payload]);
}

/** What an RTP packet carries, without contributing sources, header extensions and padding. */
export function payloadOf(packet) {
  const fixed = 12 + 4 * (packet[0] & 0x0f);
  const extensions = packet[0] & 0x10 ? 4 + 4 * packet.readUInt16BE(fixed + 2) : 0;
  const padding = packet[0] & 0x20 ? packet.at(-1) : 0;
  return packet.subarray(fixed + extensions, packet.length - padding);
}

/** What a client that sends Opus says of it. */
export const opus = (ssrc) => ({
  codecs: [{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48000, channels: 2, parameters: { useinbandfec: 1 } }],
  encodings: [{ ssrc }],
  rtcp: { cname: 'somebody' },
});

/** What a client that sends VP8 says of it, in one encoding for each SSRC. */
export const vp8 = (...ssrcs) => ({
  codecs: [
    { mimeType: 'video/VP8', payloadType: 96, clockRate: 90000,
      rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }, { type: 'ccm', parameter: 'fir' }] },
    { mimeType: 'video/rtx', payloadType: 97, clockRate: 90000, parameters: { apt: 96 } },
  ],
  encodings: ssrcs.map((ssrc) => ({ ssrc, rtx: { ssrc: ssrc + 1 }, scalabilityMode: ssrcs.length > 1 ? 'L1T1' : undefined })),
  rtcp: { cname: 'somebody' },
});
