// What Jest loads for suites.mjs: the tests of mediasoup's Node library, of one of two versions, as their packages have
// them. Jest takes the modules fbs and ortc of the older ones from the library, so that both are what the library is.

const { cpSync, readdirSync } = require('node:fs');
const { dirname, join } = require('node:path');

// Tests and hooks do not end before Jest's own limit: how busy the machine is does not count here.
const { beforeEach, test } = globalThis;
globalThis.beforeEach = (body) => beforeEach(body);
globalThis.test = Object.assign((name, body) => test(name, body), test);

// Some wait for 100 ms and then want to see what the worker has told: a busy machine is given three chances.
jest.retryTimes(2);

const older = dirname(require.resolve('@mafalda-sfu/mediasoup-node-tests'));

/** Those in the package of the library itself. The certificate that one of them reads is in the older ones' alone. */
function own() {
  const directory = join(dirname(require.resolve('mediasoup')), 'test');
  cpSync(join(older, 'lib/data'), join(directory, 'data'), { recursive: true });
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.js'))) {
    describe(file, () => { require(join(directory, file)); });
  }
}

/** Those of 3.14.7, when classes of errors were among the types, one of them by another name. */
function extracted() {
  const { UnsupportedError, WorkerClosedError } = require('mediasoup/errors');
  const types = { UnsupportedError, InvalidStateError: WorkerClosedError };
  require('@mafalda-sfu/mediasoup-node-tests')({ ...require('mediasoup'), types });
}

({ '3.27.1': own, '3.14.7': extracted })[globalThis.VERSION]();
