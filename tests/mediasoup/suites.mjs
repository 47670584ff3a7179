// mediasoup's own Node tests, unaltered, with the library 3.27.1 and the worker that MEDIASOUP_WORKER_BIN names: those
// that its package has, and those of 3.14.7, which the package @mafalda-sfu/mediasoup-node-tests has. All of them run.
// Each has to pass, but for those that are listed here: each of these wants what the library does no longer, whichever
// its worker is, and has to fail at the line and with the words that are here. With mediasoup's own worker this
// program ends without an error just as well.
//
//     MEDIASOUP_WORKER_BIN=FILE node suites.mjs 3.27.1 | 3.14.7

import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { runCLI } from 'jest';
import { assert } from './common.mjs';

const PATIENCE_MS = 30_000;
const TESTS = { '3.27.1': 202, '3.14.7': 175 };

/** A line that is wanted and not there, which is all that differs. */
const ONE_LINE_LESS = /- Expected {2}- 1\n\+ Received {2}\+ 0\n[^]*\n- +"tupleHashes": Array \[\],\n/;
const NOT_REFUSED = /Received promise resolved instead of rejected/;

/** Why, what is said, and by name the line of the assertion that fails. */
const LEFT_OUT = { '3.27.1': [], '3.14.7': [
  ['dumps of WebRTC servers have no tupleHashes', ONE_LINE_LESS, {
    'WebRtcServer worker.createWebRtcServer() succeeds': 62,
    'WebRtcServer worker.createWebRtcServer() with portRange succeeds': 120,
    'WebRtcServer worker.createWebRtcServer() without specifying port/portRange succeeds': 166,
    'WebRtcServer router.createWebRtcTransport() with webRtcServer succeeds and transport is closed': 351,
    'WebRtcServer router.createWebRtcTransport() with webRtcServer succeeds and webRtcServer is closed': 426,
  }],
  ['the library has other header extensions, under other numbers', /^[-+] +"(id|uri)": /m, {
    ['ortc getProducerRtpParametersMapping(), getConsumableRtpParameters(), getConsumerRtpParameters() and '
      + 'getPipeConsumerRtpParameters() succeed']: 396,
    'PipeTransport router.pipeToRouter() succeeds with audio': 217,
    'PipeTransport router.pipeToRouter() succeeds with video': 303,
    'PipeTransport router.createPipeTransport() with enableRtx succeeds': 457,
  }],
  ['its receiver has the level of sound under the number of 3.14.7, so it gets none', /Expected: 3\nReceived: 2\n/, {
    'Consumer consumer.dump() succeeds': 534,
  }],
  ['the class is called WorkerImpl', /Expected: "Worker"\nReceived: "WorkerImpl"\n/, {
    'Worker createWorker() succeeds': 28,
  }],
  ['it counts objects whose class is called PipeTransport, not PipeTransportImpl', /Expected: 1\nReceived: 0\n/, {
    ['PipeTransport router.pipeToRouter() called in two Routers passing one to each other as argument generates a '
      + 'single PipeTransport pair']: 889,
  }],
  ['numSctpStreams and maxSctpMessageSize are no arguments any more', /\+ +"OS": 65535,\n/, {
    'WebRtcTransport router.createWebRtcTransport() succeeds': 116,
    'PlainTransport router.createPlainTransport() succeeds': 88,
  }],
  ['numSctpStreams is no argument any more, so it is not checked', NOT_REFUSED, {
    'WebRtcTransport router.createWebRtcTransport() with wrong arguments rejects with TypeError': 263,
  }],
  ['maxMessageSize is no argument of direct transports any more, so it is not checked', NOT_REFUSED, {
    'DirectTransport router.createDirectTransport() with wrong arguments rejects with TypeError': 46,
  }],
  ['the library leaves "direct" out of dumps', /Expected: true\nReceived: undefined\n/, {
    'DirectTransport router.createDirectTransport() succeeds': 35,
  }],
  ['it wants its own version', /Expected: "3\.14\.7"\nReceived: "3\.27\.1"\n/, {
    'mediasoup mediasoup.version matches version field in package.json': 13,
  }],
] };

const version = process.argv[2];
const rootDir = fileURLToPath(new URL('.', import.meta.url));
const packages = '<rootDir>/node_modules';
const config = {
  rootDir,
  cacheDirectory: '<rootDir>/../../target/jest',
  globals: { VERSION: version },
  moduleNameMapper: {
    '^@mafalda-sfu/mediasoup-node-fbs/(.*)$': `${packages}/mediasoup/node/lib/fbs/$1`,
    '^@mafalda-sfu/mediasoup-ortc$': `${packages}/mediasoup/node/lib/ortc`,
  },
  testMatch: ['<rootDir>/suites.cjs'],
  testTimeout: PATIENCE_MS,
  transform: {},
};
const { results } = await runCLI({ _: [], $0: '', config: JSON.stringify(config), reporters: [], runInBand: true,
  watchman: false }, [rootDir]);
const [{ failureMessage, testExecError, testResults }] = results.testResults;
assert.equal(testExecError, undefined, failureMessage);

const expected = new Map(LEFT_OUT[version].flatMap(([why, says, tests]) =>
  Object.entries(tests).map(([name, line]) => [`Mediasoup node tests ${name}`, { why, says, line }])));
const wrong = [];
for (const { fullName, status, failureMessages } of testResults) {
  const said = stripVTControlCharacters(failureMessages.join('\n'));
  const left = expected.get(fullName);
  expected.delete(fullName);
  const isRight = left
    ? status === 'failed' && left.says.test(said) && new RegExp(`/test-\\w+\\.js:${left.line}:`).test(said)
    : status === 'passed';
  if (!isRight) wrong.push(`${fullName}: ${status}${left ? `, though listed: ${left.why}` : ''}\n${said}`);
}
assert.equal(wrong.length, 0, wrong.join('\n'));
assert.deepEqual([...expected.keys()], [], 'listed, and there is no such test');
assert.equal(testResults.length, TESTS[version]);
const passed = testResults.filter(({ status }) => status === 'passed').length;
console.log(`tests of mediasoup ${version}: ${passed} passed, ${testResults.length - passed} left out`);
// Some tests do not wait for their workers to end.
process.exit();
