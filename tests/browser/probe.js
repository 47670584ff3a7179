// What a test asks a page: runs inside it, before the page's own scripts, as `window.probe`. It only looks at what the
// page shows of itself (`window.corecast`) and at getStats; what it changes, it changes by the page's own means.
(() => {
  // What a test wants of the page's own calls: a scalability mode for video that is sent, a size for the camera, offers
  // that take so many milliseconds longer to make, as on a device that is busy.
  const wishes = { scalabilityMode: null, camera: null, slowerOffers: 0 };
  const connections = [];
  const Native = window.RTCPeerConnection;
  if (Native) {
    window.RTCPeerConnection = class extends Native {
      constructor(...given) {
        super(...given);
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

  const devices = navigator.mediaDevices;
  const getUserMedia = devices?.getUserMedia?.bind(devices);
  if (getUserMedia) {
    devices.getUserMedia = (constraints) => {
      if (!wishes.camera || !constraints?.video) return getUserMedia(constraints);
      return getUserMedia({ ...constraints, video: wishes.camera });
    };
  }

  const pick = (from, names) => {
    const found = {};
    for (const name of names) if (from?.[name] !== undefined) found[name] = from[name];
    return found;
  };

  /** What getStats says of a connection, less what no test reads. */
  async function summary(pc) {
    const all = new Map();
    // A connection that is closed meanwhile never answers.
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error('no statistics in time')), 5_000));
    (await Promise.race([pc.getStats(), late])).forEach((stat) => all.set(stat.id, stat));
    const stats = [...all.values()];
    const codec = (stat) => all.get(stat.codecId)?.mimeType?.split('/')[1] ?? null;
    const inbound = {};
    const outbound = [];
    for (const stat of stats) {
      if (stat.type === 'inbound-rtp') {
        inbound[stat.kind] = {
          codec: codec(stat),
          ...pick(stat, [
            'ssrc', 'timestamp', 'packetsReceived', 'packetsLost', 'bytesReceived', 'framesReceived', 'framesDecoded',
            'keyFramesDecoded', 'framesPerSecond', 'frameWidth', 'frameHeight', 'freezeCount', 'pliCount', 'nackCount',
            'retransmittedPacketsReceived', 'totalAudioEnergy', 'totalSamplesReceived', 'audioLevel',
            'decoderImplementation', 'framesDropped',
          ]),
        };
      } else if (stat.type === 'outbound-rtp') {
        outbound.push({
          codec: codec(stat),
          ...pick(stat, [
            'kind', 'rid', 'active', 'ssrc', 'packetsSent', 'framesEncoded', 'keyFramesEncoded', 'framesPerSecond', 'frameWidth',
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
        ...(await summary(viewer.pc)),
        layer: viewer.layer ?? null,
        element: video ? { width: video.videoWidth, height: video.videoHeight, paused: video.paused,
          time: video.currentTime, muted: video.muted } : null,
      };
    }
    for (const tile of document.querySelectorAll('[data-peer]')) {
      const layer = tile.querySelector('[data-of="layer"]')?.textContent ?? null;
      seen.tiles.push({ peer: tile.dataset.peer, state: tile.dataset.state ?? null, layer });
    }
    seen.connections = connections.length;
    return seen;
  }

  /** The header extensions and codecs that a connection has agreed on. */
  function agreed(peer) {
    const pc = peer ? window.corecast.viewers.get(peer)?.pc : window.corecast.publisher?.pc;
    return { offer: pc?.localDescription?.sdp ?? null, answer: pc?.remoteDescription?.sdp ?? null };
  }

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

  /** Gives the page another camera, as large as this: it is turned off and on again by its button. */
  function changeCamera(camera) {
    wishes.camera = camera;
    press('camera-button');
    return press('camera-button');
  }

  window.probe = { wishes, look, agreed, restartIce, press, changeCamera, summary };
})();
