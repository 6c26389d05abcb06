/** `--save` and `--restore`: all rules as lines of this program's own grammar. */
import type { DestEntry, LaddrEntry, SvcEntry, SvcKey } from '../../control/results.js';

const FORWARD_LETTERS: Record<DestEntry['fwd'], string> = {
  nat: 'm',
  tunnel: 'i',
  dr: 'g',
  fullnat: 'b',
  snat: 'J',
};

const keyOf = ({ proto, addr, port }: SvcKey): string => `-${proto === 'tcp' ? 't' : 'u'} ${addr}:${port}`;

/** One line per service, real server and local address. Unlike the original's it keeps everything. */
export function saveLines(services: readonly SvcEntry[], laddrs: readonly LaddrEntry[]): string[] {
  const local = new Map(laddrs.map((l) => [keyOf(l.svc), l.laddrs]));
  return services.flatMap(({ svc, scheduler, connTimeout, dests }) => {
    const key = keyOf(svc);
    const timeout = connTimeout === 0 ? '' : ` --conn-timeout ${connTimeout}`;
    return [
      `-A ${key} -s ${scheduler}${timeout}`,
      ...dests.map((d) => {
        const limits = `${d.maxConn === 0 ? '' : ` -x ${d.maxConn}`}${d.minConn === 0 ? '' : ` -y ${d.minConn}`}`;
        return `-a ${key} -r ${d.addr}:${d.port} -${FORWARD_LETTERS[d.fwd]} -w ${d.weight}${limits}`;
      }),
      ...(local.get(key) ?? []).map((l) => `-P ${key} -z ${l.addr} -F ${l.dev}`),
    ];
  });
}

/** The words of each line that is neither empty nor a comment; `ipvsadm` in front is allowed. */
export function restoreLines(text: string): { line: number; words: string[] }[] {
  return text
    .split('\n')
    .map((source, i) => ({
      line: i + 1,
      words: source
        .trim()
        .split(/\s+/)
        .filter((w) => w !== ''),
    }))
    .map(({ line, words }) => ({
      line,
      words: /(^|\/)ipvsadm$/.test(words[0] ?? '') ? words.slice(1) : words,
    }))
    .filter(({ words }) => words.length > 0 && !words[0]!.startsWith('#'));
}
