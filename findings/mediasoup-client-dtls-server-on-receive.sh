#!/usr/bin/env bash
# mediasoup-client 3.24.1 in Chromium, where the server's DTLS parameters have the role "client": the browser is to be
# the server of DTLS.
#
# A good guess: the library tells the application's server in the transport's "connect" event which role the browser
# takes, for transports that send and for those that receive, and the browser takes that one (RFC 8842 section 5).
#
# Seen instead: both transports say "server" in "connect". On the one that sends the browser does wait for the other
# side's hello (the answer that it is given says active). On the one that receives the browser's own answer says active, so
# it sends a hello of its own, and both sides take themselves for the client: no handshake begins.
# So a server should leave its role "auto" or "server" on transports from which a client receives.
#
# Takes half a minute. Needs Node.js, and Chromium as CHROMIUM or /usr/bin/chromium. No server runs: what one would
# answer is written down here.
# Output as seen:
#   sending: told "server", browser's part is passive
#   receiving: told "server", browser's part is active
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts \
  mediasoup-client@3.24.1 esbuild@0.28.2 puppeteer-core@24.43.1 >/dev/null
cat > page.js <<'JS'
import { Device } from 'mediasoup-client';

const routerRtpCapabilities = {
  codecs: [{ kind: 'audio', mimeType: 'audio/opus', preferredPayloadType: 100, clockRate: 48000, channels: 2,
    parameters: {}, rtcpFeedback: [] }],
  headerExtensions: [],
};
const server = {
  id: 'transport',
  iceParameters: { usernameFragment: 'abcdefgh', password: '0123456789abcdefghijklmn', iceLite: true },
  iceCandidates: [{ foundation: 'udpcandidate', priority: 1076302079, ip: '192.0.2.1', address: '192.0.2.1',
    protocol: 'udp', port: 4000, type: 'host' }],
  dtlsParameters: { role: 'client', fingerprints: [{ algorithm: 'sha-256', value: Array(32).fill('AB').join(':') }] },
};

/** What the transport tells of the browser's role, and what the browser's side of the call says. */
async function roles(sends) {
  const connections = [];
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...given) {
      super(...given);
      connections.push(this);
    }
  };
  const device = await Device.factory({ handlerName: 'Chrome111' });
  await device.load({ routerRtpCapabilities });
  const transport = sends ? device.createSendTransport(server) : device.createRecvTransport(server);
  let told;
  transport.on('connect', ({ dtlsParameters }, done) => {
    told = dtlsParameters.role;
    done();
  });
  transport.on('produce', (_, done) => done({ id: 'producer' }));
  if (sends) {
    const destination = new AudioContext().createMediaStreamDestination();
    await transport.produce({ track: destination.stream.getAudioTracks()[0] });
  } else {
    await transport.consume({ id: 'consumer', producerId: 'producer', kind: 'audio', rtpParameters: {
      mid: '0',
      codecs: [{ mimeType: 'audio/opus', payloadType: 100, clockRate: 48000, channels: 2, parameters: {},
        rtcpFeedback: [] }],
      headerExtensions: [], encodings: [{ ssrc: 1234567 }], rtcp: { cname: 'name', reducedSize: true },
    } });
  }
  window.RTCPeerConnection = Real;
  const connection = connections.find(one => one.localDescription?.sdp.includes('m=audio'));
  const setup = one => one.sdp.match(/a=setup:(\w+)/)[1];
  const { localDescription: local, remoteDescription: remote } = connection;
  // The answer decides: who answers passive waits, and so does who is answered active.
  const opposite = { active: 'passive', passive: 'active' };
  const part = local.type === 'answer' ? setup(local) : opposite[setup(remote)];
  return { told, part };
}

window.roles = roles;
JS
cat > run.js <<'JS'
import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';

await build({ entryPoints: ['page.js'], bundle: true, outfile: 'bundle.js', logLevel: 'error' });
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--autoplay-policy=no-user-gesture-required'],
});
try {
  const page = await browser.newPage();
  await page.addScriptTag({ path: 'bundle.js' });
  const sending = await page.evaluate(() => window.roles(true));
  const receiving = await page.evaluate(() => window.roles(false));
  console.log(`sending: told "${sending.told}", browser's part is ${sending.part}`);
  console.log(`receiving: told "${receiving.told}", browser's part is ${receiving.part}`);
  const asSeen = sending.told === 'server' && sending.part === 'passive'
    && receiving.told === 'server' && receiving.part === 'active';
  if (!asSeen) {
    console.error('mediasoup-client behaves otherwise than described above');
    process.exitCode = 1;
  }
} finally {
  await browser.close();
}
JS
timeout 60 node run.js
