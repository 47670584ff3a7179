// How loud somebody is, from 0 to 1: of a microphone here, or of what a connection plays.

let audio = null;

/** Measures a local track; null where the browser refuses. One that has not been touched yet may not run it: then 0. */
export function meterOf(track) {
  try {
    return new Meter(track);
  } catch {
    return null;
  }
}

class Meter {
  #source;
  #analyser;
  #samples;

  constructor(track) {
    audio ??= new AudioContext();
    audio.resume().catch(() => {});
    this.#source = audio.createMediaStreamSource(new MediaStream([track]));
    this.#analyser = new AnalyserNode(audio, { fftSize: 512 });
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source.connect(this.#analyser);
  }

  get level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.sqrt(sum / this.#samples.length);
  }

  close() {
    this.#source.disconnect();
  }
}

/** Loudness of what is played: from the header extension of RFC 6464, or as the browser measures it. */
export function levelOf(pc) {
  const receiver = pc?.getReceivers().find(({ track }) => track?.kind === "audio");
  const sources = receiver?.getSynchronizationSources?.() ?? [];
  return Math.max(0, ...sources.map(({ audioLevel }) => audioLevel ?? 0));
}

/** 0 to 1 of full scale to 0 to 100 on a scale as ears have it: 60 dB. */
export function loudness(level) {
  return level > 0 ? Math.max(0, Math.min(100, Math.round(100 + (100 / 60) * 20 * Math.log10(level)))) : 0;
}
