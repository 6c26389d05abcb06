/** `--dest-check CONF`: its text as options write it and as lists show it. */
import type { DestCheck } from '../../control/schema.js';
import { UsageError } from '../errors.js';
import { EXIT_USAGE } from './exit.js';

type Passive = NonNullable<DestCheck['passive']>;

/** What `default` stands for. */
const DEFAULT: Passive = { downRetry: 1, downWait: 3, restore: { upConfirm: 1, min: 5, max: 3600 } };
const EXTERNAL = ['tcp', 'udp', 'sctp', 'ping'] as const;
const NUMBERS = /^(?:(\d{1,5}),(\d{1,5}),(\d{1,5})s,(\d{1,5})-(\d{1,5})s|(\d{1,5}),(\d{1,5})s)$/;

const bad = (text: string, why: string): UsageError =>
  new UsageError(`invalid dest-check '${text}': ${why}`, EXIT_USAGE);

/** @throws UsageError that says what is wrong */
export function parseDestCheck(text: string): DestCheck {
  if (text === 'disable') return { passive: null, external: [] };
  const words = text.split(',');
  const firstName = words.findIndex((w) => /^[a-z]/i.test(w));
  const numbers = words.slice(0, firstName < 0 ? words.length : firstName).join(',');
  const check: DestCheck = { passive: numbers === '' ? null : parsePassive(text, numbers), external: [] };
  for (const name of words.slice(numbers === '' ? 0 : numbers.split(',').length)) {
    if (name === 'default') {
      if (check.passive !== null) throw bad(text, 'two passive checks');
      check.passive = DEFAULT;
      continue;
    }
    const external = EXTERNAL.find((e) => e === name);
    if (external === undefined)
      throw bad(text, `'${name}' is none of disable, default, ${EXTERNAL.join(', ')}`);
    if (check.external.includes(external)) throw bad(text, `${name} twice`);
    check.external.push(external);
  }
  // In one order, so that equal checks have equal texts.
  check.external.sort((a, b) => EXTERNAL.indexOf(a) - EXTERNAL.indexOf(b));
  return check;
}

function parsePassive(text: string, numbers: string): Passive {
  const m = NUMBERS.exec(numbers);
  if (m === null) throw bad(text, 'RETRY,CONFIRM,Ns,MIN-MAXs or RETRY,Ns, such as 1,1,3s,5-3600s');
  const [retry, confirm, wait, min, max, retryOnly, waitOnly] = m.slice(1).map(Number);
  const within = (what: string, n: number, most: number): number => {
    if (n < 1 || n > most) throw bad(text, `${what} must be from 1 to ${most}`);
    return n;
  };
  if (m[1] === undefined)
    return { downRetry: within('RETRY', retryOnly!, 65535), downWait: within('N', waitOnly!, 86400) };
  if (min! > max!) throw bad(text, 'MIN is above MAX');
  return {
    downRetry: within('RETRY', retry!, 65535),
    downWait: within('N', wait!, 86400),
    restore: {
      upConfirm: within('CONFIRM', confirm!, 65535),
      min: within('MIN', min!, 86400),
      max: within('MAX', max!, 86400),
    },
  };
}

function numbersOf({ downRetry, downWait, restore }: Passive): string {
  if (restore === undefined) return `${downRetry},${downWait}s`;
  const text = `${downRetry},${restore.upConfirm},${downWait}s,${restore.min}-${restore.max}s`;
  return text === numbersOfDefault ? 'default' : text;
}
const numbersOfDefault = '1,1,3s,5-3600s';

/** As the option writes it; '' when there is none. */
export const formatDestCheck = ({ passive, external }: DestCheck): string =>
  [...(passive === null ? [] : [numbersOf(passive)]), ...external].join(',');

/** As the default list shows it. */
export function showDestCheck({ passive, external }: DestCheck): string {
  if (passive === null && external.length === 0) return '';
  const internal = passive === null ? '' : ` internal:${numbersOf(passive)}`;
  return `dest-check${internal}${external.length === 0 ? '' : ` external:${external.join(',')}`}`;
}
