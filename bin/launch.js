'use strict';
/**
 * Starts one of the programs from its bundle in dist/cli/<bin>/, with the V8 code cache beside it: a tool has to be
 * there at once. Without the cache (another Node version) it starts all the same, only slower.
 */
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { Script } = require('node:vm');

const top = join(__dirname, '..');
const dist = join(top, 'dist');

const read = (file) => {
  try {
    return readFileSync(file);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
};

/** The bundle's exports, and its script for tools/bundle.mjs; undefined when there is no bundle. */
function load(file) {
  const source = read(file);
  if (source === undefined) return undefined;
  const script = new Script(`(function (exports, require, module) {${source}\n})`, {
    filename: file,
    cachedData: read(`${file}.cache`),
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module);
  return { exports: module.exports, script };
}

function launch(bin) {
  const root = join(dist, 'cli', bin);
  const program = load(join(root, 'bundle.cjs'));
  if (program === undefined) {
    process.stderr.write(`${bin}: not built yet: run \`npm run build\` in ${top}\n`);
    process.exitCode = 1;
    return;
  }
  const host = {
    root,
    version: program.exports.VERSION,
    modules: {
      master: () => import('../dist/master/main.js'),
      config: () => import('../dist/config/config.js'),
      diagnostics: () => import('../dist/config/diagnostics.js'),
    },
  };
  program.exports.main(process.argv.slice(2), host).then(
    (code) => {
      process.exitCode = code;
    },
    (error) => {
      process.stderr.write(`${bin}: internal error: ${error.message}\n`);
      process.exitCode = 1;
    },
  );
}

module.exports = launch;
module.exports.load = load;
