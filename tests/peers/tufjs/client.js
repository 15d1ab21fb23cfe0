// tuf-js's client with the command line of tuf-conformance; see ../README.md.
//
//   client.js --metadata-dir D init ROOT
//   client.js --metadata-dir D --metadata-url U refresh
//   client.js --metadata-dir D --metadata-url U --target-name T --target-base-url U --target-dir D download
//
// Exit status 0, or 1 with the refusal's class and message on standard error.
'use strict';

const fs = require('fs');
const path = require('path');
const { parseArgs } = require('util');
const { Updater } = require('tuf-js');

const text = { type: 'string' };
const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    'metadata-dir': text,
    'metadata-url': text,
    'target-name': { type: 'string', multiple: true },
    'target-dir': text,
    'target-base-url': text,
  },
});

async function act() {
  fs.mkdirSync(options['metadata-dir'], { recursive: true });
  if (words[0] === 'init') {
    fs.copyFileSync(words[1], path.join(options['metadata-dir'], 'root.json'));
    return;
  }
  const updater = new Updater({
    metadataDir: options['metadata-dir'],
    metadataBaseUrl: options['metadata-url'],
    targetDir: options['target-dir'],
    targetBaseUrl: options['target-base-url'],
    // A refusal is told at once: the servers here are on loopback.
    config: { fetchRetries: 0, fetchRetry: 0 },
  });
  await updater.refresh();
  if (words[0] === 'refresh') return;
  fs.mkdirSync(options['target-dir'], { recursive: true });
  for (const name of options['target-name']) {
    const info = await updater.getTargetInfo(name);
    if (!info) throw new Error(`no role lists ${name}`);
    if (!(await updater.findCachedTarget(info))) await updater.downloadTarget(info);
  }
}

act().catch((error) => {
  console.error(`${error.constructor.name}: ${error.message}`);
  process.exit(1);
});
