// Live figures from getStats: what is sent or received, how much of it is lost, and how far away the server is.

const REPAIR_NAMES = /rtx|red|ulpfec|flexfec/i;

/** Rates of what is sent, or of what is received of one peer, between two calls of `read`. */
export class Figures {
  #before = new Map();

  /**
   * { bitrateBps, lossPercent, rttMs, width, height, fps, codec, limited, layers, packets: { audio, video }, frames,
   * whole, hasDecoded }. Packets, frames that were decoded and whole ones are those since the call before; hasDecoded:
   * a picture was decoded, at any time.
   * @param report of getStats
   * @param sends whether all that is sent is meant, or what is received
   * @param ssrcs of what is received
   */
  read({ report, sends, ssrcs }) {
    const stats = [...report.values()];
    const rtp = stats.filter(({ type, ssrc }) => (sends ? type === "outbound-rtp"
      : type === "inbound-rtp" && ssrcs.includes(ssrc)));
    const figures = { ...this.#rates(rtp), ...picture(rtp, report), rttMs: roundTrip(stats) };
    figures.lossPercent = sends ? lossSaid(stats) : this.#loss(rtp);
    figures.packets = { audio: 0, video: 0 };
    for (const stat of rtp) {
      figures.packets[stat.kind] += this.#since(stat, sends ? "packetsSent" : "packetsReceived");
    }
    figures.frames = sends ? 0 : rtp.reduce((sum, stat) => sum + this.#since(stat, "framesDecoded"), 0);
    figures.whole = sends ? 0 : rtp.reduce((sum, stat) => sum + this.#since(stat, "framesReceived"), 0);
    figures.hasDecoded = rtp.some(({ framesDecoded }) => framesDecoded > 0);
    this.#before = new Map(rtp.map((stat) => [stat.id, stat]));
    return figures;
  }

  #since(stat, name) {
    return Math.max(0, (stat[name] ?? 0) - (this.#before.get(stat.id)?.[name] ?? 0));
  }

  #rates(rtp) {
    let bitrateBps = 0;
    for (const stat of rtp) {
      const before = this.#before.get(stat.id);
      const ms = before ? stat.timestamp - before.timestamp : 0;
      const name = stat.type === "outbound-rtp" ? "bytesSent" : "bytesReceived";
      if (ms > 0) bitrateBps += (this.#since(stat, name) * 8000) / ms;
    }
    return { bitrateBps };
  }

  #loss(got) {
    let lost = 0, received = 0;
    for (const stat of got) {
      lost += this.#since(stat, "packetsLost");
      received += this.#since(stat, "packetsReceived");
    }
    return lost + received ? (100 * lost) / (lost + received) : null;
  }
}

/** As the server reported it last. */
function lossSaid(stats) {
  const reports = stats.filter(({ type, fractionLost }) => type === "remote-inbound-rtp" && fractionLost !== undefined);
  return reports.length ? 100 * Math.max(...reports.map(({ fractionLost }) => fractionLost)) : null;
}

function roundTrip(stats) {
  const transport = stats.find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
  const pairs = stats.filter(({ type }) => type === "candidate-pair");
  const pair = transport
    ? pairs.find(({ id }) => id === transport.selectedCandidatePairId)
    : pairs.find(({ selected, nominated, state }) => selected || (nominated && state === "succeeded"));
  // Firefox knows no round trip of a pair, but that of RTCP.
  const rtcp = stats.find(({ type, roundTripTime }) => type === "remote-inbound-rtp" && roundTripTime > 0);
  const seconds = pair?.currentRoundTripTime ?? rtcp?.roundTripTime;
  return seconds === undefined ? null : seconds * 1000;
}

function picture(rtp, report) {
  const videos = rtp.filter(({ kind, frameWidth }) => kind === "video" && frameWidth);
  const largest = videos.sort((a, b) => b.frameWidth - a.frameWidth)[0];
  if (!largest) return { width: 0, height: 0, fps: 0, codec: "", limited: "", layers: [] };
  const mime = report.get(largest.codecId)?.mimeType?.split("/")[1] ?? "";
  return {
    width: largest.frameWidth,
    height: largest.frameHeight,
    fps: Math.round(largest.framesPerSecond ?? 0),
    codec: REPAIR_NAMES.test(mime) ? "" : mime,
    limited: largest.qualityLimitationReason === "none" ? "" : largest.qualityLimitationReason ?? "",
    layers: videos.map(({ frameHeight }) => frameHeight),
  };
}

const bits = (bps) => bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;

/** Pairs of a name and a value, for people. */
export function describe(figures, sends) {
  const lines = [[sends ? "sent" : "received", bits(figures.bitrateBps)]];
  if (figures.width) {
    const heights = figures.layers.length > 1 ? figures.layers.join(", ") : `${figures.width} × ${figures.height}`;
    lines.push(["picture", heights], ["frames", `${figures.fps} fps`]);
  }
  if (figures.layer) lines.push(["layer", figures.layer]);
  if (figures.codec) lines.push(["codec", figures.codec]);
  lines.push(["loss", figures.lossPercent === null ? "–" : `${figures.lossPercent.toFixed(1)} %`]);
  lines.push(["round trip", figures.rttMs === null ? "–" : `${Math.round(figures.rttMs)} ms`]);
  if (figures.limited) lines.push(["limited by", figures.limited]);
  return lines;
}
