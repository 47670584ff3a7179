// Waiting: for a time, for a connection, and longer each time that something fails.

/** Resolves after `ms` milliseconds, or as soon as the signal is aborted. */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, signal?.aborted ? 0 : ms);
    signal?.addEventListener("abort", done);
  });
}

/** 0.5, 1, 2, 4, then 8 s, each a little random: a hundred pages shall not come back in the same moment. */
export function backoffMs(failures) {
  return Math.min(8000, 500 * 2 ** Math.max(0, failures - 1)) * (0.75 + Math.random() / 2);
}

/** Whether `test()` came true within `ms`; looked at whenever one of the events comes. */
export function until(target, events, test, ms, signal) {
  return new Promise((resolve) => {
    const done = (result) => {
      clearTimeout(timer);
      for (const event of events) target.removeEventListener(event, look);
      signal?.removeEventListener("abort", stop);
      resolve(result);
    };
    const look = () => { if (test()) done(true); };
    const stop = () => done(false);
    const timer = ms === Infinity ? undefined : setTimeout(stop, ms);
    for (const event of events) target.addEventListener(event, look);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop(); else look();
  });
}
