// SDP (RFC 8866, JSEP: RFC 8829), as far as two browsers' ends need it: what a browser's description says, and the
// descriptions that stand for the server, which itself speaks of parameters (ORTC) and not of SDP.

/** The lines of a description's media sections, each with what identifies it. */
export function sectionsOf(sdp) {
  const sections = [];
  for (const line of sdp.split(/\r?\n/)) {
    if (line.startsWith("m=")) sections.push([]);
    sections.at(-1)?.push(line);
  }
  return sections.map((lines) => {
    const [, kind, port, formats] = lines[0].match(/^m=(\S+) (\d+) \S+ (.*)$/);
    const [mid] = valuesOf(lines, "mid");
    // Firefox gives those of a bundle no port of their own (RFC 9143 section 6).
    const isRejected = port === "0" && !lines.includes("a=bundle-only");
    return { lines, kind, mid, formats, isRejected };
  });
}

/** Values of all attributes of a name. */
export function valuesOf(lines, name) {
  const start = `a=${name}:`;
  return lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length));
}

/** Codecs of a section in its order, as ORTC has them. */
export function codecsOf({ kind, lines, formats }) {
  const codecs = new Map();
  for (const value of valuesOf(lines, "rtpmap")) {
    const [, payloadType, name, clockRate, channels] = value.match(/^(\d+) ([^/]+)\/(\d+)(?:\/(\d+))?/);
    const codec = { mimeType: `${kind}/${name}`, payloadType: Number(payloadType), clockRate: Number(clockRate),
      parameters: {}, rtcpFeedback: [] };
    if (kind === "audio") codec.channels = Number(channels ?? 1);
    codecs.set(payloadType, codec);
  }
  for (const value of valuesOf(lines, "fmtp")) {
    const [, payloadType, list] = value.match(/^(\d+) (.*)$/);
    for (const one of list.split(";")) {
      const [, name, text] = one.trim().match(/^([^=]*)=?(.*)$/);
      // Numbers as numbers, `42e01f` and `01` as text.
      const number = /^(0|[1-9]\d*)$/.test(text);
      if (name) Object.assign(codecs.get(payloadType)?.parameters ?? {}, { [name]: number ? Number(text) : text });
    }
  }
  for (const value of valuesOf(lines, "rtcp-fb")) {
    const [payloadType, type, ...parameter] = value.split(" ");
    const of = payloadType === "*" ? [...codecs.values()] : [codecs.get(payloadType)].filter(Boolean);
    for (const codec of of) codec.rtcpFeedback.push({ type, parameter: parameter.join(" ") });
  }
  return formats.split(" ").map((format) => codecs.get(format)).filter(Boolean);
}

/** Header extensions of a section: { uri, id }. */
export function extensionsOf({ lines }) {
  return valuesOf(lines, "extmap").map((value) => {
    const [, id, uri] = value.match(/^(\d+)\S* (\S+)/);
    return { uri, id: Number(id) };
  });
}

/** Fingerprints of a description's certificate, as ORTC has them. */
export function fingerprintsOf(sdp) {
  const [first] = valuesOf(sdp.split(/\r?\n/), "fingerprint");
  const [algorithm, value] = first.split(" ");
  return [{ algorithm: algorithm.toLowerCase(), value }];
}

/**
 * What the server's side of a transport says.
 * @param remote the server's { iceParameters, iceCandidates, dtlsParameters }
 * @param version counts up from description to description
 * @param setup "actpass" in an offer, "passive" in an answer
 * @param sections lists of lines, each beginning with its `m=`
 */
export function describe({ remote, version, setup, sections }) {
  const { iceParameters, iceCandidates, dtlsParameters } = remote;
  const bundled = sections.filter(([media]) => !/^m=\S+ 0 /.test(media)).map((lines) => valuesOf(lines, "mid")[0]);
  const { algorithm, value } = dtlsParameters.fingerprints.at(-1);
  const transport = [
    "c=IN IP4 0.0.0.0",
    `a=ice-ufrag:${iceParameters.usernameFragment}`,
    `a=ice-pwd:${iceParameters.password}`,
    `a=fingerprint:${algorithm} ${value}`,
    `a=setup:${setup}`,
    ...iceCandidates.map((one) => `a=candidate:${one.foundation} 1 ${one.protocol} ${one.priority} ${one.ip} ` +
      `${one.port} typ ${one.type}${one.tcpType ? ` tcptype ${one.tcpType}` : ""}`),
    "a=end-of-candidates",
  ];
  const lines = [
    "v=0",
    `o=corecast 1 ${version} IN IP4 127.0.0.1`,
    "s=-",
    "t=0 0",
    "a=ice-lite",
    `a=group:BUNDLE ${bundled.join(" ")}`,
    // Descriptors of AV1's layers are too long for the short form of extensions (RFC 8285 section 6).
    "a=extmap-allow-mixed",
    "a=msid-semantic: WMS *",
    ...sections.flatMap(([media, ...rest]) => [media, ...transport, ...rest]),
  ];
  return lines.map((line) => `${line}\r\n`).join("");
}

/** A section of RTP, sent or received in these parameters. `direction` is seen from the server. */
export function rtpSection(kind, direction, { mid, codecs, headerExtensions }) {
  const formats = codecs.map(({ payloadType }) => payloadType).join(" ");
  const lines = [`m=${kind} 7 UDP/TLS/RTP/SAVPF ${formats}`, `a=mid:${mid}`, `a=${direction}`, "a=rtcp-mux",
    "a=rtcp-rsize"];
  for (const { payloadType, mimeType, clockRate, channels, parameters, rtcpFeedback } of codecs) {
    const name = mimeType.split("/")[1];
    lines.push(`a=rtpmap:${payloadType} ${name}/${clockRate}${channels > 1 ? `/${channels}` : ""}`);
    const list = Object.entries(parameters ?? {}).map(([key, value]) => (value === "" ? key : `${key}=${value}`));
    if (list.length) lines.push(`a=fmtp:${payloadType} ${list.join(";")}`);
    for (const { type, parameter } of rtcpFeedback ?? []) {
      lines.push(`a=rtcp-fb:${payloadType} ${type}${parameter ? ` ${parameter}` : ""}`);
    }
  }
  for (const { id, uri } of headerExtensions) lines.push(`a=extmap:${id} ${uri}`);
  return lines;
}

/** A section of data channels. */
export function dataSection(mid, { port, maxMessageSize }) {
  return ["m=application 7 UDP/DTLS/SCTP webrtc-datachannel", `a=mid:${mid}`, `a=sctp-port:${port}`,
    `a=max-message-size:${maxMessageSize}`];
}

/** A section of RTP that is over, or refused. */
export function rejected(kind, mid, format) {
  return [`m=${kind} 0 UDP/TLS/RTP/SAVPF ${format}`, `a=mid:${mid}`, "a=inactive"];
}
