#!/usr/bin/env bash
# mediasoup's Node library 3.27.1 tells an application of one trace event of a consumer twice.
#
# A good guess: one notification of the worker (a NACK, a key frame that a consumer asked for) is one "trace" event on the
# consumer and one on its observer, as it is on producers and transports.
#
# Seen instead: on a consumer each of them is emitted twice for one notification; on a producer once. So who counts
# NACKs or key frame requests by consumer.on('trace') counts double.
#
# Takes some seconds. Needs Node.js. No worker runs: the library's own classes are given one notification each, written
# with the library's own FlatBuffers classes, by the channel that their constructors take.
# Output as seen:
#   producer: 1 on itself, 1 on its observer
#   consumer: 2 on itself, 2 on its observer
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts mediasoup@3.27.1 >/dev/null

cat > run.cjs <<'JS'
const { EventEmitter } = require('node:events');
const path = require('node:path');
const lib = path.join(__dirname, 'node_modules/mediasoup/node/lib');
const load = name => require(path.join(lib, name));
const flatbuffers = require(require.resolve('flatbuffers', { paths: [lib] }));
const { Event, Body, Notification } = load('fbs/notification.js');
const { ConsumerImpl } = load('Consumer.js');
const { ProducerImpl } = load('Producer.js');

/** The notification that a NACK was seen, as a worker would write it. */
function notification(id, event, kind, fbs) {
  const builder = new flatbuffers.Builder(256);
  const type = fbs.TraceEventType.NACK;
  const trace = fbs.TraceNotification.createTraceNotification(builder, type, 1n, 1, 0, 0);
  const handler = builder.createString(id);
  builder.finish(Notification.createNotification(builder, handler, event, Body[kind], trace));
  return Notification.getRootAsNotification(new flatbuffers.ByteBuffer(builder.asUint8Array()));
}

function count(name, Class, internal, data, more, event, kind, fbs) {
  const channel = new EventEmitter();
  const one = new Class({ internal, data, channel, appData: {}, ...more });
  const seen = { itself: 0, observer: 0 };
  one.on('trace', () => seen.itself++);
  one.observer.on('trace', () => seen.observer++);
  const told = notification('id', event, kind, fbs);
  channel.emit('id', event, told);
  console.log(`${name}: ${seen.itself} on itself, ${seen.observer} on its observer`);
  return seen;
}

const ids = { routerId: 'router', transportId: 'transport', producerId: 'id', consumerId: 'id' };
const score = { score: 10, producerScore: 10, producerScores: [10] };
const producer = count('producer', ProducerImpl, ids, { kind: 'video' }, { paused: false },
  Event.PRODUCER_TRACE, 'Producer_TraceNotification', load('fbs/producer.js'));
const consumer = count('consumer', ConsumerImpl, ids, { kind: 'video', producerId: 'p' },
  { paused: false, producerPaused: false, score },
  Event.CONSUMER_TRACE, 'Consumer_TraceNotification', load('fbs/consumer.js'));
const asSeen = producer.itself === 1 && producer.observer === 1 && consumer.itself === 2 && consumer.observer === 2;
if (!asSeen) {
  console.error('mediasoup behaves otherwise than described above');
  process.exit(1);
}
JS
timeout 30 node run.cjs
