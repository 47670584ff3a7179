// What a test asks a page: runs inside it, before the page's own scripts, as `window.probe`. It only looks at what the
// page shows of itself (`window.corecast`) and at getStats; what it changes, it changes by the page's own means.
(() => {
  // What a test wants of the page's own calls: a scalability mode for video that is sent, a size for the camera, offers
  // that take so many milliseconds longer to make, as on a device that is busy, certificates with an RSA key.
  const wishes = { scalabilityMode: null, camera: null, slowerOffers: 0, rsa: false };
  const connections = [];
  // Drawn while the page waits for its camera.
  let certificates = null;
  const Native = window.RTCPeerConnection;
  if (Native) {
    window.RTCPeerConnection = class extends Native {
      constructor(configuration) {
        if (wishes.rsa && !certificates) throw new Error('the RSA key is not drawn yet');
        super(certificates ? { ...configuration, certificates } : configuration);
        connections.push(this);
      }

      addTransceiver(what, init) {
        const video = what === 'video' || what?.kind === 'video';
        if (video && wishes.scalabilityMode && init?.direction !== 'recvonly') {
          const encodings = [{ scalabilityMode: wishes.scalabilityMode }];
          return super.addTransceiver(what, { ...init, sendEncodings: encodings });
        }
        return super.addTransceiver(what, init);
      }

      async setLocalDescription(...given) {
        if (wishes.slowerOffers) await new Promise((resolve) => setTimeout(resolve, wishes.slowerOffers));
        return super.setLocalDescription(...given);
      }
    };
  }

  // WebSockets of the page, and states that its connections have ever been in.
  const sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      sockets.push(this);
    }
  };

  /** Breaks the page's WebSocket as a network does that is gone: neither side is told why. */
  function breakSocket() {
    // A code that does not say that the client leaves.
    sockets.at(-1).close(4_900);
    return sockets.length;
  }

  // What has been seen of a call since `watch` was called.
  let seen = null;

  /** From now on notes what happens to connections and tiles, and the longest time without a new picture of each peer. */
  function watch() {
    const kept = connections.filter(({ connectionState }) => connectionState !== 'closed');
    seen = { states: [], tiles: [], notices: [], longest: {} };
    const noted = seen;
    for (const pc of kept) pc.addEventListener('connectionstatechange', () => noted.states.push(pc.connectionState));
    const grid = document.getElementById('grid');
    const changes = new MutationObserver((all) => {
      for (const { addedNodes, removedNodes } of all) {
        for (const node of addedNodes) if (node.dataset?.peer) noted.tiles.push(`+${node.dataset.peer}`);
        for (const node of removedNodes) if (node.dataset?.peer) noted.tiles.push(`-${node.dataset.peer}`);
      }
    });
    changes.observe(grid, { childList: true });
    new MutationObserver((all) => {
      for (const { addedNodes } of all) for (const node of addedNodes) noted.notices.push(node.dataset?.notice ?? '');
    }).observe(document.getElementById('notices'), { childList: true });
    for (const [peer, { video }] of window.corecast.viewers) {
      let last = performance.now();
      const next = () => {
        const now = performance.now();
        noted.longest[peer] = Math.max(noted.longest[peer] ?? 0, Math.round(now - last));
        last = now;
        video.requestVideoFrameCallback(next);
      };
      video.requestVideoFrameCallback(next);
    }
    noted.same = () => kept.every((pc) => pc.connectionState === 'connected' && connections.includes(pc)) &&
      window.corecast.publisher?.pc === kept[0] && [...window.corecast.viewers.values()].every(({ pc }) => kept.includes(pc));
    return kept.length;
  }

  /** What was seen since then, how many WebSockets there have been, and whether the connections are those of then. */
  const watched = () => ({ ...seen, same: seen.same(), sockets: sockets.length,
    open: sockets.at(-1)?.readyState === WebSocket.OPEN });

  const devices = navigator.mediaDevices;
  const getUserMedia = devices?.getUserMedia?.bind(devices);
  if (getUserMedia) {
    devices.getUserMedia = async (constraints) => {
      const rsa = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
      if (wishes.rsa) certificates ??= [await Native.generateCertificate(rsa)];
      if (!wishes.camera || !constraints?.video) return getUserMedia(constraints);
      return getUserMedia({ ...constraints, video: wishes.camera });
    };
  }

  const pick = (from, names) => {
    const found = {};
    for (const name of names) if (from?.[name] !== undefined) found[name] = from[name];
    return found;
  };

  /** What getStats says of a connection, less what no test reads; of what it receives only these SSRCs, if any are given. */
  async function summary(pc, ssrcs) {
    const all = new Map();
    // A connection that is closed meanwhile never answers.
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error('no statistics in time')), 5_000));
    (await Promise.race([pc.getStats(), late])).forEach((stat) => all.set(stat.id, stat));
    const stats = [...all.values()];
    const codec = (stat) => all.get(stat.codecId)?.mimeType?.split('/')[1] ?? null;
    const inbound = {};
    const outbound = [];
    for (const stat of stats) {
      if (stat.type === 'inbound-rtp' && (ssrcs?.includes(stat.ssrc) ?? true)) {
        inbound[stat.kind] = {
          codec: codec(stat),
          ...pick(stat, [
            'ssrc', 'timestamp', 'packetsReceived', 'packetsLost', 'bytesReceived', 'framesReceived', 'framesDecoded',
            'keyFramesDecoded', 'framesPerSecond', 'frameWidth', 'frameHeight', 'freezeCount', 'pliCount', 'nackCount',
            'retransmittedPacketsReceived', 'totalAudioEnergy', 'totalSamplesReceived', 'audioLevel',
            'decoderImplementation', 'framesDropped', 'estimatedPlayoutTimestamp',
          ]),
        };
      } else if (stat.type === 'outbound-rtp') {
        outbound.push({
          codec: codec(stat),
          ...pick(stat, [
            'kind', 'rid', 'active', 'ssrc', 'packetsSent', 'bytesSent', 'framesEncoded', 'keyFramesEncoded', 'framesPerSecond', 'frameWidth',
            'frameHeight', 'scalabilityMode', 'encoderImplementation', 'retransmittedPacketsSent', 'nackCount',
            'pliCount', 'targetBitrate', 'qualityLimitationReason',
          ]),
        });
      }
    }
    const transport = stats.find((stat) => stat.type === 'transport');
    const pairs = stats.filter((stat) => stat.type === 'candidate-pair');
    const pair = all.get(transport?.selectedCandidatePairId) ??
      pairs.find((stat) => stat.selected || (stat.nominated && stat.state === 'succeeded'));
    const end = (id) => pick(all.get(id), ['address', 'port', 'protocol', 'candidateType', 'tcpType']);
    return {
      ...pick(pc, ['connectionState', 'iceConnectionState', 'signalingState']),
      inbound,
      outbound,
      transport: pick(transport, ['dtlsState', 'dtlsRole', 'dtlsCipher', 'srtpCipher', 'tlsVersion', 'iceState']),
      pair: pair ? { local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId),
        ...pick(pair, ['currentRoundTripTime', 'availableOutgoingBitrate']) } : null,
    };
  }

  /** The page as it is now: its state, its own sending, what it receives of whom, and what a person would see. */
  async function look() {
    const page = window.corecast;
    const seen = { state: page?.state ?? null, publisher: null, viewers: {}, tiles: [] };
    if (page?.publisher?.pc) {
      seen.publisher = { peer: page.publisher.peer ?? null, ...(await summary(page.publisher.pc)) };
    }
    for (const [peer, viewer] of page?.viewers ?? []) {
      if (!viewer?.pc) continue;
      const video = viewer.video;
      seen.viewers[peer] = {
        ...(await summary(viewer.pc, viewer.ssrcs)),
        layer: viewer.layer ?? null,
        layers: viewer.layers,
        element: video ? { width: video.videoWidth, height: video.videoHeight, paused: video.paused,
          time: video.currentTime, muted: video.muted } : null,
      };
    }
    for (const tile of document.querySelectorAll('[data-peer]')) {
      const layer = tile.querySelector('[data-of="layer"]')?.textContent ?? null;
      const { peer, state, camera, sound, screen } = tile.dataset;
      const note = tile.querySelector('.note')?.textContent ?? '';
      seen.tiles.push({ peer, state: state ?? null, layer, camera, sound, note, screen: screen !== undefined });
    }
    seen.connections = connections.length;
    return seen;
  }

  /** What the page and the server say of the connection by which a peer is received, or of that which sends. */
  function agreed(peer) {
    const pc = peer ? window.corecast.viewers.get(peer)?.pc : window.corecast.publisher?.pc;
    return { own: pc?.localDescription?.sdp ?? null, servers: pc?.remoteDescription?.sdp ?? null };
  }

  /** What a part of the page says. */
  const says = (id) => document.getElementById(id).textContent;
  /** Who is there, as the page says it. */
  const people = () => says('people');

  /** Lets the page restart ICE by its own means. */
  async function restartIce() {
    await window.corecast.restartIce();
    return true;
  }

  /** Presses a button as a person does. */
  function press(id) {
    document.getElementById(id).click();
    return true;
  }

  /** Presses what this selector finds first of what can be seen. */
  function click(selector) {
    [...document.querySelectorAll(selector)].find((one) => one.checkVisibility()).click();
    return true;
  }

  /** Whether what this selector finds can be seen. */
  const visible = (selector) => document.querySelector(selector)?.checkVisibility() ?? false;

  /** Writes something into the chat and sends it, as a person does. */
  function chat(text) {
    const field = document.getElementById('chat-field');
    field.value = text;
    field.form.requestSubmit();
    return field.value === '';
  }

  /** Presses one of the reactions that are shown. */
  function react(emoji) {
    [...document.querySelectorAll('#reactions button')].find(({ textContent }) => textContent === emoji).click();
    return true;
  }

  /** What is shown of a room's talk: lines of the chat, hands by tile, reactions, new lines, and elements in the chat. */
  function talk() {
    const of = (selector, show) => [...document.querySelectorAll(selector)].map(show);
    const lines = of('#chat-log > li', (line) => [...line.children].map(({ textContent }) => textContent));
    const hands = of('#grid > .tile[data-hand="up"]', ({ dataset }) => ('self' in dataset ? 'self' : dataset.peer));
    const reactions = of('.reaction', ({ textContent }) => textContent);
    const badge = document.getElementById('chat-badge');
    const foreign = document.querySelectorAll('#chat-log > li > :not(p, strong), #chat-log > li > * > *').length;
    return { lines, hands, reactions, unread: badge.hidden ? '' : badge.textContent, foreign };
  }

  /** Gives the page another camera, as large as this: it is turned off and on again by its button. */
  function changeCamera(camera) {
    wishes.camera = camera;
    press('camera-button');
    return press('camera-button');
  }

  // Sessions of a test's own, without the page: a connection each, and what was heard on its data channels.
  const sessions = new Map();

  const soon = (what, check) => new Promise((resolve, reject) => {
    const end = Date.now() + 20_000;
    const look = () => {
      if (check()) resolve(true);
      else if (Date.now() > end) reject(new Error(`not within 20 s: ${what}`));
      else setTimeout(look, 20);
    };
    look();
  });

  const sessionOf = (name) => sessions.get(name) ?? sessions.set(name, { channels: new Map() }).get(name);

  /** A message as a test compares it: text, or length and sum of binary data. */
  function described(data) {
    if (typeof data === 'string') return data.length > 1_000 ? { text: data.length } : data;
    const bytes = new Uint8Array(data);
    return { bytes: bytes.length, sum: bytes.reduce((sum, byte) => sum + byte, 0) };
  }

  /** Opens a channel in a session; several of one label have different names. */
  function openChannel(name, channel, label, init) {
    const opened = sessionOf(name).pc.createDataChannel(label, init ?? {});
    const kept = { channel: opened, heard: [] };
    opened.binaryType = 'arraybuffer';
    opened.onmessage = ({ data }) => kept.heard.push(described(data));
    sessionOf(name).channels.set(channel, kept);
    return true;
  }

  /** Offers redundant sound (RFC 2198) before Opus: so a publisher asks for it. */
  function preferRedundancy(transceiver) {
    const { codecs } = RTCRtpSender.getCapabilities('audio');
    const rank = ({ mimeType }) => (mimeType === 'audio/red' ? 0 : 1);
    transceiver.setCodecPreferences(codecs.toSorted((one, other) => rank(one) - rank(other)));
  }

  /** Publishes to, or watches, `url`, with a channel of this label. Returns the offer's and the answer's m= lines. */
  async function startSession(name, url, publishes, label, config) {
    const session = sessionOf(name);
    const pc = session.pc = new RTCPeerConnection(config ?? {});
    openChannel(name, label, label);
    if (config?.sendsNothing) {
      ['audio', 'video'].forEach((kind) => pc.addTransceiver(kind, { direction: 'sendonly' }));
    } else if (publishes) {
      const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 180 } });
      media.getTracks().forEach((track) => {
        const transceiver = pc.addTransceiver(track, { direction: 'sendonly', streams: [media] });
        if (config?.redundancy && track.kind === 'audio') preferRedundancy(transceiver);
      });
    } else {
      ['audio', 'video'].forEach((kind) => pc.addTransceiver(kind, { direction: 'recvonly' }));
      // Sound that nothing plays is not decoded.
      session.sound = new Audio();
      session.sound.srcObject = new MediaStream(pc.getReceivers().map(({ track }) => track).slice(0, 1));
      session.sound.play().catch(() => {});
    }
    await pc.setLocalDescription(await pc.createOffer());
    await soon('candidates', () => pc.iceGatheringState === 'complete');
    const offer = pc.localDescription.sdp;
    const headers = { 'Content-Type': 'application/sdp' };
    const response = await fetch(url, { method: 'POST', headers, body: offer });
    const answer = await response.text();
    if (response.status !== 201) throw new Error(`${response.status} ${answer}`);
    session.location = response.headers.get('location');
    await pc.setRemoteDescription({ type: 'answer', sdp: answer });
    await soon(`${name} is connected`, () => pc.connectionState === 'connected');
    await channelOpens(name, label);
    const lines = (sdp) => sdp.split('\r\n').filter((line) => line.startsWith('m=')).map((line) => line.slice(2, 13));
    return { offer: lines(offer), answer: lines(answer), max: pc.sctp.maxMessageSize };
  }

  /** Publishes to, or watches, `url` as an application does that is written with the clients of WHIP's and WHEP's authors. */
  async function startClient(name, url, publishes) {
    const session = sessionOf(name);
    const pc = session.pc = new RTCPeerConnection();
    const { WHIPClient, WHEPClient } = window.published;
    if (publishes) {
      const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 180 } });
      media.getTracks().forEach((track) => pc.addTransceiver(track, { direction: 'sendonly' }));
      session.client = new WHIPClient();
      await session.client.publish(pc, url);
    } else {
      ['audio', 'video'].forEach((kind) => pc.addTransceiver(kind, { direction: 'recvonly' }));
      session.client = new WHEPClient();
      await session.client.view(pc, url);
    }
    await soon(`${name} is connected`, () => pc.connectionState === 'connected');
    return true;
  }

  /** Ends what `startClient` has begun. */
  async function endClient(name) {
    await sessionOf(name).client.stop();
    sessions.delete(name);
    return true;
  }

  async function channelOpens(name, channel) {
    const { channel: opened } = sessionOf(name).channels.get(channel);
    await soon(`${name}'s ${channel} is open`, () => opened.readyState === 'open');
    return opened.id;
  }

  /** Sends text, or so many bytes of binary data of value 7. */
  function say(name, channel, message) {
    const { channel: opened } = sessionOf(name).channels.get(channel);
    opened.send(typeof message === 'string' ? message : new Uint8Array(message).fill(7));
    return true;
  }

  /** Sends texts one after the other, as many at a time as the browser takes. */
  async function sayAll(name, channel, texts) {
    const { channel: opened } = sessionOf(name).channels.get(channel);
    for (const text of texts) {
      await soon('room to send', () => opened.bufferedAmount < 100_000);
      opened.send(text);
    }
    return true;
  }

  /** What was heard on a channel, once it is so many messages. */
  async function heard(name, channel, count) {
    const kept = sessionOf(name).channels.get(channel);
    await soon(`${count} messages for ${name}, of ${kept.heard.length}`, () => kept.heard.length >= count);
    return kept.heard;
  }

  /** Closes a channel, and waits until it is. */
  async function closeChannel(name, channel) {
    const { channel: opened } = sessionOf(name).channels.get(channel);
    opened.close();
    return channelCloses(name, channel);
  }

  async function channelCloses(name, channel) {
    const { channel: opened } = sessionOf(name).channels.get(channel);
    await soon(`${name}'s ${channel} is closed`, () => opened.readyState === 'closed');
    return true;
  }

  /** What a session has received of a kind. */
  async function received(name, kind) {
    return (await summary(sessionOf(name).pc)).inbound[kind] ?? null;
  }

  /** Ends a session. */
  async function endSession(name) {
    const { pc, location } = sessionOf(name);
    await fetch(location, { method: 'DELETE' });
    pc.close();
    sessions.delete(name);
    return true;
  }

  /** What the dashboard shows: its answers, figures and plots of the cores, its tables, and the peer that is open. */
  function dashboard() {
    const texts = (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent.trim());
    const rows = (id) => [...document.querySelectorAll(`#${id} tbody tr`)]
      .map((row) => [...row.children].map((cell) => cell.textContent.trim()));
    return {
      answers: texts('.tile strong'), more: texts('.tile p'), cores: texts('.core dd'), rooms: rows('rooms'),
      viewers: rows('viewers'), lines: document.querySelectorAll('.core path[d^="M"]').length,
      peer: document.querySelector('dialog[open]')?.textContent ?? null,
      decisions: document.querySelectorAll('dialog path[d^="M"]').length,
    };
  }

  /** Presses the dashboard's button of this name. */
  function open(name) {
    const buttons = [...document.querySelectorAll('main button')];
    const found = buttons.find((button) => button.textContent === name);
    found?.click();
    return found !== undefined;
  }

  window.probe = {
    breakSocket, watch, watched, dashboard, open, wishes, look, agreed, says, people, received, restartIce, press, click, visible, chat, react, talk, changeCamera, summary, startSession, openChannel, channelOpens, say, sayAll, heard,
    closeChannel, channelCloses, endSession, startClient, endClient,
  };
})();
