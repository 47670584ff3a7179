// Every request method and every notification of mediasoup's schemas has a row in docs/mediasoup.md, and what the page
// says is not there is what the worker itself says it does not have.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as flatbuffers from 'flatbuffers';
import { assert } from './common.mjs';

const require = createRequire(import.meta.url);
const library = new URL('node_modules/mediasoup/node/lib/fbs/', import.meta.url).pathname;
const [message, request, response, notification] =
  ['message', 'request', 'response', 'notification'].map((name) => require(`${library}${name}.js`));

// Rows of the page: a name in code, and `yes`, `in part` or `no`.
const page = readFileSync(new URL('../../docs/mediasoup.md', import.meta.url), 'utf8');
const rows = new Map([...page.matchAll(/^\| `([A-Z_]+)` \| (yes|in part|no)\b/gm)].map(([, name, state]) => [name, state]));
const names = (of) => Object.keys(of).filter((name) => Number.isNaN(Number(name)));
const [methods, events] = [names(request.Method), names(notification.Event)];
assert.ok(methods.length > 60 && events.length > 30, `${methods.length} methods, ${events.length} notifications`);
const unnamed = [...methods, ...events].filter((name) => !rows.has(name));
assert.deepEqual(unnamed, [], 'not in docs/mediasoup.md');
const unknown = [...rows.keys()].filter((name) => !methods.includes(name) && !events.includes(name));
assert.deepEqual(unknown, [], 'in docs/mediasoup.md, and in no schema');

// Asks for every method without a body and without an object: all are refused, with the kind of error that says why.
const child = spawn(process.env.MEDIASOUP_WORKER_BIN, [],
  { env: { ...process.env, MEDIASOUP_VERSION: '3.27.1' }, stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'] });
const answers = new Map();
let waiting = Buffer.alloc(0);
child.stdio[4].on('data', (bytes) => {
  waiting = Buffer.concat([waiting, bytes]);
  while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32LE(0)) {
    const end = 4 + waiting.readUInt32LE(0);
    const read = message.Message.getRootAsMessage(new flatbuffers.ByteBuffer(new Uint8Array(waiting.subarray(4, end))));
    waiting = waiting.subarray(end);
    if (read.dataType() !== message.Body.Response) continue;
    const answer = new response.Response();
    read.data(answer);
    answers.set(answer.id(), { accepted: answer.accepted(), error: answer.error(), reason: answer.reason() });
  }
});
await once(child.stdio[4], 'data');
const ask = (id, method) => {
  const builder = new flatbuffers.Builder(64);
  const nobody = builder.createString('nobody');
  const asked = request.Request.createRequest(builder, id, method, nobody, request.Body.NONE, 0);
  builder.finishSizePrefixed(message.Message.createMessage(builder, message.Body.Request, asked));
  child.stdio[3].write(builder.asUint8Array());
};
const last = methods.length + 1;
methods.forEach((name, at) => ask(at + 1, request.Method[name]));
ask(last, 250);
while (answers.size < last) await once(child.stdio[4], 'data');

for (const [at, name] of methods.entries()) {
  const { accepted, error, reason } = answers.get(at + 1);
  const isMissing = !accepted && /does not have this method/.test(reason);
  assert.equal(isMissing, rows.get(name) === 'no', `${name}: the page says ${rows.get(name)}, the worker ${reason}`);
  assert.ok(accepted || ['Error', 'TypeError', 'NotFoundError'].includes(error), `${name}: ${error}`);
}
// One that is in no schema is refused, too, and the worker goes on.
assert.deepEqual([answers.get(last).accepted, answers.get(last).error], [false, 'TypeError']);
child.stdio[3].end();
assert.deepEqual(await once(child, 'exit'), [0, null]);

const count = (state, of) => of.filter((name) => rows.get(name) === state).length;
for (const [what, of] of [['methods', methods], ['notifications', events]]) {
  console.log(`${what}: ${of.length}; there ${count('yes', of)}, in part ${count('in part', of)}, not ${count('no', of)}`);
}
