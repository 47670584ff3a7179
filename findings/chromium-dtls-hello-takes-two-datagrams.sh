#!/usr/bin/env bash
# Chromium 156 (Debian 12) begins DTLS: how its ClientHello comes to the other side.
#
# A good guess: a hello of WebRTC is one datagram of 150 to 300 bytes. So a server may look at the first datagram alone:
# to tell DTLS from other things, to answer with a cookie without keeping anything (RFC 9147 section 5.1), or to read
# which SRTP profiles and versions the client has.
#
# Seen instead: the hello has 1,413 bytes, of which 1,216 are a share of a key that is safe from quantum computers
# (X25519MLKEM768, group 0x11ec), and comes as two fragments in two datagrams, of 1,200 and 263 bytes. Each may be lost,
# and they may arrive in either order. DTLS 1.3 is offered with it, and 1.2, so servers that know 1.2 alone get it as
# well.
# So a server has to put fragments together before it knows the client; a bound on bytes or on fragments of those who
# have shown nothing yet must let two through; and a sender in between must carry packets of 1,200 bytes from the very
# first on.
#
# Takes half a minute. Needs Node 20.15, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). The other
# side is the script's own socket: it answers ICE's checks and reads the records of DTLS, which stand in the clear.
# Output as seen (sizes vary by some bytes, as the list of algorithms does):
#   Chrome/156.0.8078.108
#   a hello of 1413 bytes in 2 datagrams: 1200 bytes (1175 from 0), 263 bytes (238 from 1175)
#   versions fefc fefd; shares 11ec of 1216 bytes, 001d of 32 bytes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 > /dev/null
cat > run.mjs <<'JS'
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createHmac } from 'node:crypto';
import { crc32 } from 'node:zlib';
import puppeteer from 'puppeteer-core';

const PASSWORD = 'passwordpasswordpassword';
const [HANDSHAKE, CLIENT_HELLO] = [22, 1];

const attribute = (type, value) => {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value]);
};

/** The answer to a check (RFC 8489): where it came from, signed. */
function answer(check, { address, port }) {
  const mapped = Buffer.from([0, 1, 0, 0, ...address.split('.').map(Number)]);
  mapped.writeUInt16BE(port, 2);
  // Everything but the family is masked with the cookie.
  [0x21, 0x12].forEach((mask, at) => { mapped[2 + at] ^= mask; });
  [0x21, 0x12, 0xa4, 0x42].forEach((mask, at) => { mapped[4 + at] ^= mask; });
  const head = Buffer.from(check.subarray(0, 20));
  head.writeUInt16BE(0x0101, 0);
  const told = attribute(0x0020, mapped);
  head.writeUInt16BE(told.length + 24, 2);
  const signature = createHmac('sha1', PASSWORD).update(head).update(told).digest();
  const signed = attribute(0x0008, signature);
  head.writeUInt16BE(told.length + 24 + 8, 2);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE((crc32(Buffer.concat([head, told, signed])) ^ 0x5354554e) >>> 0);
  return Buffer.concat([head, told, signed, attribute(0x8028, sum)]);
}

/** Fragments of the first hello in a datagram: where each begins, and its bytes. */
function fragments(datagram) {
  const found = [];
  for (let at = 0; at + 13 <= datagram.length;) {
    const record = datagram.subarray(at + 13, at + 13 + datagram.readUInt16BE(at + 11));
    if (datagram[at] === HANDSHAKE && record[0] === CLIENT_HELLO && record.readUInt16BE(4) === 0) {
      found.push({ from: record.readUIntBE(6, 3), of: record.readUIntBE(1, 3), bytes: record.subarray(12) });
    }
    at += 13 + record.length;
  }
  return found;
}

/** Extensions of a ClientHello by number. */
function extensions(hello) {
  let at = 34;
  at += 1 + hello[at];
  at += 1 + hello[at];
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello[at];
  const found = new Map();
  for (at += 2; at < hello.length;) {
    const length = hello.readUInt16BE(at + 2);
    found.set(hello.readUInt16BE(at), hello.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

/** Has the page connect to this port by ICE, where it is to begin DTLS. */
async function connect(port, password) {
  window.connection = new RTCPeerConnection();
  connection.createDataChannel('any');
  await connection.setLocalDescription();
  const fingerprint = Array(32).fill('AB').join(':');
  const lines = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=ice-lite', 'a=group:BUNDLE 0',
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', 'a=mid:0', 'a=sctp-port:5000',
    'a=ice-ufrag:server01', `a=ice-pwd:${password}`, 'a=setup:passive', `a=fingerprint:sha-256 ${fingerprint}`,
    `a=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host`, ''];
  await connection.setRemoteDescription({ type: 'answer', sdp: lines.join('\r\n') });
}

const datagrams = [];
const socket = createSocket('udp4', (datagram, from) => {
  if (datagram[0] < 2) socket.send(answer(datagram, from), from.port, from.address);
  else if (datagram[0] >= 20 && datagram[0] < 64) datagrams.push(datagram);
});
socket.bind(0, '127.0.0.1');
await once(socket, 'listening');
const args = ['--no-sandbox', '--disable-gpu', '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
try {
  console.log(await browser.version());
  const page = await browser.newPage();
  await page.evaluate(connect, socket.address().port, PASSWORD);
  for (let tries = 0; tries < 100 && datagrams.length < 4; tries++) await new Promise((done) => setTimeout(done, 100));
} finally {
  await browser.close();
  socket.close();
}
// Up to where it begins again, since nobody answers.
const again = datagrams.findIndex((one, at) => at > 0 && fragments(one).some(({ from }) => from === 0));
const flight = datagrams.slice(0, again);
const parts = flight.flatMap(fragments);
const hello = Buffer.alloc(parts[0]?.of ?? 0);
for (const { from, bytes } of parts) bytes.copy(hello, from);
const shown = flight.map((one) => (
  `${one.length} bytes (${fragments(one).map(({ from, bytes }) => `${bytes.length} from ${from}`).join(', ')})`));
console.log(`a hello of ${hello.length} bytes in ${flight.length} datagrams: ${shown.join(', ')}`);
const told = extensions(hello);
const versions = told.get(43).subarray(1).toString('hex').match(/..../g);
const shares = [];
for (let rest = told.get(51).subarray(2); rest.length; rest = rest.subarray(4 + rest.readUInt16BE(2))) {
  shares.push([rest.toString('hex', 0, 2), rest.readUInt16BE(2)]);
}
const sizes = shares.map(([group, size]) => `${group} of ${size} bytes`);
console.log(`versions ${versions.join(' ')}; shares ${sizes.join(', ')}`);
const isLarge = shares.some(([group, size]) => group === '11ec' && size > 1_000);
const asSeen = flight.length === 2 && hello.length > 1_300 && isLarge;
if (!asSeen) throw new Error('Chromium behaves otherwise than described above');
JS
timeout 60 node run.mjs
