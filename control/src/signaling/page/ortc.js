// What this browser and the server have in common, by the rules of mediasoup: capabilities to receive by, which go to
// the server with `join`, and parameters to send with, which go with `produce`.

import { codecsOf, extensionsOf, sectionsOf, valuesOf } from "./sdp.js";

const lower = ({ mimeType }) => mimeType.toLowerCase();
const isRtx = (codec) => lower(codec) === "video/rtx";

/** The profile that a `profile-level-id` of H.264 stands for (RFC 6184 section 8.1); a level is no difference. */
function h264Profile(id = "42001f") {
  const [profile, constraints] = [id.slice(0, 2), id.slice(2, 4)].map((byte) => Number.parseInt(byte, 16));
  if (profile === 0x42 || profile === 0x4d) {
    const baseline = profile === 0x42 ? constraints & 0x40 : constraints & 0x80;
    return baseline ? "constrained baseline" : profile;
  }
  return profile === 0x64 && constraints === 0x0c ? "constrained high" : profile;
}

/** What parameters tell apart of a codec. */
function variant(codec) {
  const { parameters } = codec;
  switch (lower(codec)) {
    case "video/h264":
      return `${parameters["packetization-mode"] ?? 0} ${h264Profile(parameters["profile-level-id"])}`;
    case "video/vp9":
      return String(parameters["profile-id"] ?? 0);
    case "video/av1":
      return String(parameters.profile ?? 0);
    case "video/h265":
      return `${parameters["profile-id"] ?? 1} ${parameters["tier-flag"] ?? 0}`;
    default:
      return "";
  }
}

const isSame = (one, other) => lower(one) === lower(other) && one.clockRate === other.clockRate &&
  (one.channels ?? 1) === (other.channels ?? 1) && variant(one) === variant(other);

/** The server's number of redundant sound (RFC 2198), which it does not tell those who do not list it. */
const RED = 127;
const redOf = (codecs, payloadType) =>
  codecs.find((codec) => lower(codec) === "audio/red" && `${payloadType}/${payloadType}` in codec.parameters);

const rtxOf = (codecs, payloadType) => codecs.find((codec) => isRtx(codec) && codec.parameters.apt === payloadType);

const feedbackOf = (one, other) => one.rtcpFeedback.filter(({ type, parameter }) =>
  other.rtcpFeedback.some((known) => known.type === type && (known.parameter ?? "") === (parameter ?? "")));

/**
 * What this browser can be sent, in the server's numbers.
 * @param router the server's capabilities
 * @param offer a browser's offer to receive sound and pictures
 */
export function receivable(router, offer) {
  const sections = sectionsOf(offer);
  const codecs = [], headerExtensions = [];
  for (const section of sections) {
    const { kind } = section;
    const own = codecsOf(section);
    for (const theirs of router.codecs.filter((codec) => codec.kind === kind && !isRtx(codec))) {
      const match = own.find((codec) => isSame(codec, theirs));
      if (!match) continue;
      const { mimeType, preferredPayloadType, clockRate, channels } = theirs;
      codecs.push({ kind, mimeType, preferredPayloadType, clockRate, channels, parameters: match.parameters,
        rtcpFeedback: feedbackOf(theirs, match) });
      const rtx = router.codecs.find((codec) => isRtx(codec) && codec.parameters.apt === preferredPayloadType);
      if (rtx && rtxOf(own, match.payloadType)) codecs.push(rtx);
      if (redOf(own, match.payloadType)) {
        const parameters = { [`${preferredPayloadType}/${preferredPayloadType}`]: "" };
        codecs.push({ kind, mimeType: "audio/red", preferredPayloadType: RED, clockRate, channels, parameters,
          rtcpFeedback: [] });
      }
    }
    const uris = extensionsOf(section).map(({ uri }) => uri);
    headerExtensions.push(...router.headerExtensions.filter(({ kind: of, uri, direction }) =>
      of === kind && uris.includes(uri) && /^send/.test(direction)));
  }
  return { codecs, headerExtensions };
}

/**
 * What a section of this browser's offer sends: the first of its codecs that the server takes, in the browser's
 * numbers. Null if there is none.
 * @param modes scalability modes of its encodings, where they are known
 */
export function sendable(router, section, modes = []) {
  const { kind, lines, mid } = section;
  const own = codecsOf(section);
  const theirs = (codec) => router.codecs.find((known) => known.kind === kind && isSame(known, codec));
  const media = own.find((codec) => !isRtx(codec) && theirs(codec));
  if (!media) return null;
  const parameters = Object.fromEntries(Object.entries(media.parameters).filter(([name]) => !/^sprop-/.test(name)));
  const codecs = [{ ...media, parameters, rtcpFeedback: feedbackOf(media, theirs(media)) }];
  const rtx = rtxOf(own, media.payloadType);
  if (rtx) codecs.push(rtx);
  const known = (uri) => router.headerExtensions.some((one) => one.kind === kind && one.uri === uri &&
    /recv/.test(one.direction));
  const headerExtensions = extensionsOf(section).filter(({ uri }) => known(uri));
  const [cname] = valuesOf(lines, "ssrc").map((value) => value.match(/^\d+ cname:(.*)$/)?.[1]).filter(Boolean);
  const encodings = encodingsOf(lines).map((encoding, index) =>
    (modes[index] ? { ...encoding, scalabilityMode: modes[index] } : encoding));
  return { mid, codecs, headerExtensions, encodings, rtcp: { cname, reducedSize: true } };
}

/** By RID where there are several (RFC 8851), else by SSRC. */
function encodingsOf(lines) {
  const rids = valuesOf(lines, "rid").map((value) => value.match(/^(\S+) send/)?.[1]).filter(Boolean);
  if (rids.length) return rids.map((rid) => ({ rid }));
  const [pair] = valuesOf(lines, "ssrc-group").map((value) => value.match(/^FID (\d+) (\d+)/)).filter(Boolean);
  if (pair) return [{ ssrc: Number(pair[1]), rtx: { ssrc: Number(pair[2]) } }];
  const [ssrc] = valuesOf(lines, "ssrc");
  return [ssrc ? { ssrc: Number.parseInt(ssrc, 10) } : {}];
}
