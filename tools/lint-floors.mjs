/**
 * The dependency rule of the floors (docs/architecture.md): a lower floor never imports a higher one. Prints every
 * import that breaks it as file:line and exits 1.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const SRC = join(dirname(fileURLToPath(import.meta.url)), '..', 'src');

/** What each folder of src/ may import besides itself. */
const MAY = {
  core: [],
  wire: ['core'],
  netif: ['core', 'wire'],
  inet: ['core', 'wire', 'netif'],
  ipvs: ['core', 'wire', 'netif', 'inet'],
  lcore: ['core', 'wire', 'netif', 'inet', 'ipvs'],
  master: ['core', 'wire', 'netif', 'inet', 'ipvs', 'lcore', 'control', 'config'],
  control: ['core'],
  config: ['core'],
  // The registry of schedulers is data for help and reference page.
  cli: ['control', 'core/errors', 'core/match', 'wire/range', 'core/stats', 'ipvs/sched/index'],
};
/** Types vanish when compiled, so the shapes of commands and results may be named on every floor above `netif`, and of settings in `config`. */
const MAY_TYPES = {
  netif: ['control'],
  inet: ['control'],
  ipvs: ['control'],
  lcore: ['control'],
  config: ['ipvs/synproxy/config'],
};

const IMPORT = /^\s*(?:import|export)\b(?<kind>\s+type\b)?(?:[^'"`;]*?\bfrom)?\s*['"](?<from>\.[^'"]*)['"]/gm;
const DYNAMIC = /\bimport\(\s*['"](?<from>\.[^'"]*)['"]\s*\)/g;

const allowed = (list, target) => list.some((rule) => target === rule || target.startsWith(`${rule}/`));

function problems(file) {
  const text = readFileSync(join(SRC, file), 'utf8');
  const floor = file.split('/')[0];
  const found = [];
  if (!(floor in MAY)) {
    return file.includes('/') ? [`src/${file}:1: '${floor}' is not a floor of the house`] : [];
  }
  for (const match of [...text.matchAll(IMPORT), ...text.matchAll(DYNAMIC)]) {
    const target = relative(SRC, join(SRC, dirname(file), match.groups.from)).replace(/\.js$/, '');
    const to = target.split('/')[0];
    const rules = match.groups.kind ? [...MAY[floor], ...(MAY_TYPES[floor] ?? [])] : MAY[floor];
    if (to === floor || allowed(rules, target)) continue;
    const line = text.slice(0, match.index + match[0].length).split('\n').length;
    const what = rules.length > 0 ? `may import only ${rules.join(', ')}` : 'imports nothing else';
    found.push(`src/${file}:${line}: ${floor} imports ${target}, but ${floor} ${what}`);
  }
  return found;
}

const all = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .toSorted()
  .flatMap(problems);
for (const line of all) console.error(line);
process.exitCode = all.length > 0 ? 1 : 0;
