/** `--save` and `--restore`: all rules as lines of this program's own grammar. */
import type { LaddrEntry, SvcEntry, Timeouts } from '../../control/results.js';
import { serviceWords } from './endpoint.js';
import { savedFields, SERVER_FIELDS, SERVICE_FIELDS } from './fields.js';

/** One line per service, real server and local address. Unlike the original's it keeps everything. */
export function saveLines(
  services: readonly SvcEntry[],
  laddrs: readonly LaddrEntry[],
  { tcp, tcpFin, udp }: Timeouts['set'],
): string[] {
  const local = new Map(laddrs.map((l) => [serviceWords(l.svc), l.laddrs]));
  const timeouts = tcp + tcpFin + udp === 0 ? [] : [`--set ${tcp} ${tcpFin} ${udp}`];
  const rules = services.flatMap((s) => {
    const svc = serviceWords(s.svc);
    return [
      `-A ${svc}${savedFields(SERVICE_FIELDS, s)}`,
      ...s.dests.map((d) => `-a ${svc} -r ${d.addr}:${d.port}${savedFields(SERVER_FIELDS, d)}`),
      ...(local.get(svc) ?? []).map((l) => `-P ${svc} -z ${l.addr} -F ${l.dev}`),
    ];
  });
  return [...timeouts, ...rules];
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
