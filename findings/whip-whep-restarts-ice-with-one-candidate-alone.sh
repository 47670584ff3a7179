#!/usr/bin/env bash
# whip-whep 1.2.0 (npm), the clients of the authors of WHIP (RFC 9725) and WHEP, in Chromium 156: an ICE restart.
#
# A good guess: the server's answer to the PATCH that restarts ICE is a fragment with its new credentials and all of its
# candidates (RFC 9725 section 4.3.3), and the client of the specification's authors takes it, however many there are.
#
# Seen instead: it writes the candidates into its description with a comma between them, so that the second line begins
# with `,a=candidate`, and setRemoteDescription refuses it: ICE is then restarted on the server alone. With one it
# works. A server that is reached by UDP and TCP, or by IPv4 and IPv6, names two. Both clients do so.
#
# Takes ten seconds. Needs Node, npm, and Chromium as /usr/bin/chromium (or its path in CHROMIUM). The server is another
# connection in the same page, which answers in the place of `fetch`.
# Output as seen:
#   Chrome/156.0.8078.114
#   WHIPClient: 1 candidate: restarted; 2 candidates: refused
#   WHEPClient: 1 candidate: restarted; 2 candidates: refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund puppeteer-core@24.43.1 whip-whep@1.2.0 > /dev/null
cat > run.mjs <<'JS'
import { readFileSync } from 'node:fs';
import puppeteer from 'puppeteer-core';

/** One session, and its restart, with a server that names so many candidates. */
async function restart(name, candidates) {
  const server = new RTCPeerConnection();
  const credentials = ['a=ice-lite', 'a=ice-ufrag:Renewed1', 'a=ice-pwd:0123456789abcdef01234567'];
  const section = ['m=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:0'];
  const named = candidates.map((one) => `a=candidate:${one}`);
  const fragment = [...credentials, ...section, ...named, 'a=end-of-candidates', ''].join('\r\n');
  window.fetch = async (url, { method, body, headers }) => {
    if (method === 'POST') {
      await server.setRemoteDescription({ type: 'offer', sdp: body });
      await server.setLocalDescription();
      const answered = { Location: '/session', ETag: '"one"', 'Content-Type': 'application/sdp' };
      return new Response(server.localDescription.sdp, { status: 201, headers: answered });
    }
    if (method !== 'PATCH' || headers['If-Match'] !== '*') return new Response(null, { status: 204 });
    const restarted = { ETag: '"two"', 'Content-Type': 'application/trickle-ice-sdpfrag' };
    return new Response(fragment, { status: 200, headers: restarted });
  };
  const pc = new RTCPeerConnection();
  const client = new window.clients[name]();
  const isWhip = name === 'WHIPClient';
  pc.addTransceiver('audio', { direction: isWhip ? 'sendonly' : 'recvonly' });
  await (isWhip ? client.publish(pc, 'http://127.0.0.1/start') : client.view(pc, 'http://127.0.0.1/start'));
  let how = 'restarted';
  try {
    await client.restart();
    if (!pc.remoteDescription.sdp.includes('a=ice-ufrag:Renewed1')) how = 'not restarted';
  } catch (error) {
    how = error.message.includes('parse') ? 'refused' : error.message;
  }
  pc.close();
  server.close();
  return how;
}

const texts = ['whip', 'whep'].map((name) => readFileSync(`node_modules/whip-whep/${name}.js`, 'utf8'));
const clients = texts.map((text) => text.replace(/^export class/m, 'class')).join('\n');
const candidates = ['1 1 udp 2130706431 127.0.0.1 9 typ host',
  '2 1 tcp 1671430143 127.0.0.1 9 typ host tcptype passive'];
const args = ['--no-sandbox', '--disable-gpu'];
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
let asSeen = true;
try {
  console.log(await browser.version());
  const page = await browser.newPage();
  await page.evaluate(`window.clients = (() => { ${clients}\nreturn { WHIPClient, WHEPClient }; })();`);
  for (const name of ['WHIPClient', 'WHEPClient']) {
    const one = await page.evaluate(restart, name, candidates.slice(0, 1));
    const two = await page.evaluate(restart, name, candidates);
    console.log(`${name}: 1 candidate: ${one}; 2 candidates: ${two}`);
    asSeen &&= one === 'restarted' && two === 'refused';
  }
} finally {
  await browser.close();
}
if (!asSeen) throw new Error('the clients behave otherwise than described above');
JS
timeout 60 node run.mjs
