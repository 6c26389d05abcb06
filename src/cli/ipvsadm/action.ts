/** What a checked line asks for: requests to the daemon, or something to show. */
import { isIP } from 'node:net';
import type { Input } from '../../control/client.js';
import type { CommandName } from '../../control/schema.js';
import type { DestEntry, SvcKey } from '../../control/results.js';
import { notYet, UsageError } from '../errors.js';
import { compact } from '../values.js';
import { EXIT_USAGE, type Line } from './check.js';

export type Format = 'default' | 'stats' | 'rate' | 'thresholds' | 'persistent-conn';

export type Request = { [M in CommandName]: { kind: 'request'; method: M; params: Input<M> } }[CommandName];

export type Action =
  | Request
  | { kind: 'list'; svc?: SvcKey; format: Format; exact: boolean; sort: boolean; json: boolean }
  | { kind: 'connections'; json: boolean }
  | { kind: 'timeouts'; json: boolean }
  | { kind: 'laddrs'; svc?: SvcKey; json: boolean }
  | { kind: 'save' }
  | { kind: 'restore' }
  | { kind: 'help' }
  | { kind: 'version' };

const fail = (message: string): UsageError => new UsageError(message, EXIT_USAGE);

const FORWARDS: readonly (readonly [option: string, fwd: DestEntry['fwd']])[] = [
  ['gatewaying', 'dr'],
  ['ipip', 'tunnel'],
  ['masquerading', 'nat'],
  ['fullnat', 'fullnat'],
  ['snat', 'snat'],
];

/** @throws UsageError on a bad value, exit code 2 */
export function actionOf({ command, options }: Line): Action {
  const json = options.has('json');
  switch (command) {
    case 'add-service':
      return request('svc.add', { svc: requiredService(options), ...serviceOptions(options) });
    case 'edit-service':
      return request('svc.edit', { svc: requiredService(options), ...serviceOptions(options) });
    case 'delete-service':
      return request('svc.del', { svc: requiredService(options) });
    case 'clear':
      return request('svc.flush', {});
    case 'zero':
      return request('svc.zero', compact({ svc: service(options) }));
    case 'add-server':
      return request('dest.add', server(options, 'dr'));
    case 'edit-server':
      return request('dest.edit', server(options));
    case 'delete-server': {
      const { svc, dest } = server(options);
      return request('dest.del', { svc, dest });
    }
    case 'add-laddr':
      return request('laddr.add', localAddress(options));
    case 'del-laddr':
      return request('laddr.del', localAddress(options));
    case 'get-laddr':
      return { kind: 'laddrs', ...compact({ svc: service(options) }), json };
    case 'list':
      if (options.has('connection')) return { kind: 'connections', json };
      if (options.has('timeout')) return { kind: 'timeouts', json };
      return {
        kind: 'list',
        ...compact({ svc: service(options) }),
        format:
          (['stats', 'rate', 'thresholds', 'persistent-conn'] as const).find((f) => options.has(f)) ??
          'default',
        exact: options.has('exact'),
        sort: !options.has('nosort'),
        json,
      };
    default:
      return { kind: command as 'save' | 'restore' | 'help' | 'version' };
  }
}

const request = <M extends CommandName>(method: M, params: Input<M>): Request =>
  ({ kind: 'request', method, params }) as unknown as Request;

/** @throws UsageError 'illegal … specified' */
function endpoint(text: string, what: string): { addr: string; port?: number } {
  const bad = fail(`illegal ${what} server address[:port] specified: ${text}`);
  if (text.startsWith('[') || isIP(text) === 6) throw notYet(`IPv6 (${text})`, EXIT_USAGE);
  const [, addr, port] = /^([^:]*)(?::([^:]*))?$/.exec(text) ?? [];
  if (addr === undefined || isIP(addr) !== 4) throw bad;
  if (port === undefined) return { addr };
  const number = digits(port, 65535);
  if (number === undefined) throw bad;
  return { addr, port: number };
}

/** A decimal number up to `max`, or undefined. */
function digits(text: string, max: number): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= max ? Number(text) : undefined;
}

function service(options: Map<string, string>): SvcKey | undefined {
  const proto = options.has('tcp-service') ? 'tcp' : 'udp';
  const text = options.get(`${proto}-service`);
  if (text === undefined) return undefined;
  const { addr, port = 0 } = endpoint(text, 'virtual');
  // a port of 0 is for match and persistent services only
  if (port === 0) throw fail('Zero port specified for no-match and non-persistent service');
  return { proto, addr, port };
}

/** The matrix has seen to it that there is one. */
const requiredService = (options: Map<string, string>): SvcKey => service(options)!;

function serviceOptions(options: Map<string, string>): { scheduler?: string; connTimeout?: number } {
  const text = options.get('conn-timeout');
  const connTimeout = text === undefined ? undefined : digits(text, 31535999);
  if (text !== undefined && connTimeout === undefined) {
    throw fail(`invalid timeout value '${text}': 0 to 31535999 seconds`);
  }
  return compact({ scheduler: options.get('scheduler'), connTimeout });
}

function server(options: Map<string, string>, defaultFwd?: DestEntry['fwd']): Input<'dest.edit'> {
  const svc = requiredService(options);
  const real = endpoint(options.get('real-server')!, 'real');
  const fwd = FORWARDS.find(([option]) => options.has(option))?.[1] ?? defaultFwd;
  // without translation the packet keeps the service's port
  const port = fwd === 'dr' || fwd === 'tunnel' ? svc.port : (real.port ?? svc.port);
  const number = (name: string, max: number): number | undefined => {
    const text = options.get(name);
    if (text === undefined) return undefined;
    const value = digits(text, max);
    if (value === undefined) throw fail(`illegal ${name} specified: ${text}`);
    return value;
  };
  const weight = number('weight', 65535);
  const maxConn = number('u-threshold', 0xffffffff);
  const minConn = number('l-threshold', 0xffffffff);
  if (maxConn !== undefined && minConn !== undefined && minConn > maxConn) {
    throw fail(`illegal l-threshold specified: ${minConn} is over the u-threshold ${maxConn}`);
  }
  return { svc, dest: { addr: real.addr, port }, ...compact({ fwd, weight, maxConn, minConn }) };
}

function localAddress(options: Map<string, string>): Input<'laddr.add'> {
  const addr = options.get('laddr')!;
  if (isIP(addr) === 6) throw notYet(`IPv6 (${addr})`, EXIT_USAGE);
  if (isIP(addr) !== 4) throw fail(`illegal local address specified: ${addr}`);
  return { svc: requiredService(options), addr, dev: options.get('ifname')! };
}
