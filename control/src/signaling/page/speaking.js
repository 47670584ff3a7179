// How loud somebody is: of a microphone here, from 0 to 1, or as the server measures it.

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

/** 0 to 1 of full scale to 0 to 100 on a scale as ears have it: 60 dB. */
export function loudness(level) {
  return level > 0 ? Math.max(0, Math.min(100, Math.round(100 + (100 / 60) * 20 * Math.log10(level)))) : 0;
}

/** The same of a volume in dBov, which is 0 at the most (RFC 6464). */
export const loudnessOf = (dbov) => Math.max(0, Math.min(100, Math.round(100 + (100 / 60) * dbov)));
