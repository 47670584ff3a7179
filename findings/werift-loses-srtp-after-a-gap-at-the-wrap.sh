#!/usr/bin/env bash
# werift 0.25.2 (WebRTC for Node; its SRTP is the package werift-rtp 0.8.9) receives SRTP, and packets are lost just
# where sequence numbers wrap from 65,535 to 0.
#
# A good guess: the receiver estimates how often numbers have wrapped from the newest one that it has (RFC 3711 section
# 3.3.1 and appendix A), so that up to 32,767 packets in a row may be lost, at the wrap as elsewhere.
#
# Seen instead: the wrap is noticed only if numbers within 100 of it arrive on both sides. A gap of 200 packets there, a
# fifth of a second of a good picture, and no packet of that stream can be opened again ("Failed to authenticate"), for
# the rest of the call, since the count stays one behind. A gap of 200 elsewhere, or of 60 at the wrap, does no harm.
# So a server that leaves gaps in a receiver's numbers (a pause, layers that are not sent) may end its stream; one that
# gives the next number to the next packet does not. Where a werift receiver goes silent for good, make a new consumer.
#
# Takes some seconds. Needs Node and npm. Both ends are werift's: one seals, the other opens; nothing is sent.
# Output as seen:
#   60 of 1000 lost at the wrap: 940 opened, 0 refused
#   200 of 1000 lost at 30000: 800 opened, 0 refused
#   200 of 1000 lost at the wrap: 400 opened, 400 refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund werift-rtp@0.8.9 > /dev/null
cat > run.cjs <<'JS'
const { RtpHeader, SrtpSession } = require('werift-rtp');

const AES128_CM_HMAC_SHA1_80 = 1;
const [key, salt] = [Buffer.alloc(16, 1), Buffer.alloc(14, 2)];
const session = () => new SrtpSession({
  keys: { localMasterKey: key, localMasterSalt: salt, remoteMasterKey: key, remoteMasterSalt: salt },
  profile: AES128_CM_HMAC_SHA1_80,
});

/** 1,000 packets around a number, of which so many in the middle are lost. */
function run(name, around, lost) {
  const [sender, receiver] = [session(), session()];
  const seen = { opened: 0, refused: 0 };
  for (let at = -500; at < 500; at++) {
    const sequenceNumber = (around + at + 65_536) % 65_536;
    const header = new RtpHeader({ payloadType: 96, ssrc: 7, sequenceNumber, timestamp: 1 });
    const sealed = sender.encrypt(Buffer.from(`packet ${at}`), header);
    if (at >= -lost / 2 && at < lost / 2) continue;
    try {
      const opened = receiver.decrypt(sealed);
      if (opened.includes(`packet ${at}`)) seen.opened++;
    } catch {
      seen.refused++;
    }
  }
  console.log(`${lost} of 1000 lost at ${name}: ${seen.opened} opened, ${seen.refused} refused`);
  return seen;
}

const small = run('the wrap', 0, 60);
const elsewhere = run('30000', 30_000, 200);
const wide = run('the wrap', 0, 200);
if (small.refused || elsewhere.refused || wide.opened !== 400 || wide.refused !== 400) {
  console.error('werift behaves otherwise than described above');
  process.exit(1);
}
JS
timeout 60 node run.cjs
