/** What a checked line asks for: requests to the daemon, or something to show. */
import { isIP } from 'node:net';
import type { Input } from '../../control/client.js';
import type { CommandName } from '../../control/schema.js';
import type { DestEntry, SvcKey } from '../../control/results.js';
import { notYet, UsageError } from '../errors.js';
import { compact } from '../values.js';
import type { Line } from './check.js';
import { listAction } from './lists.js';
import { endpoint, serviceOf, sockpairOf } from './endpoint.js';
import { EXIT_USAGE } from './exit.js';
import { FORMATS } from './options.js';
import {
  badTimeout,
  digits,
  MAX_SECONDS,
  parametersOf,
  SERVER_FIELDS,
  SERVICE_FIELDS,
  type Given,
} from './fields.js';

export type Format = 'default' | (typeof FORMATS)[number];

export type Request = { [M in CommandName]: { kind: 'request'; method: M; params: Input<M> } }[CommandName];

export type Action =
  | Request
  | { kind: 'list'; of: Input<'svc.list'>; format: Format; exact: boolean; sort: boolean; json: boolean }
  | { kind: 'connections'; of: Input<'conn.list'>; clients: boolean; json: boolean }
  | { kind: 'timeouts'; json: boolean }
  | { kind: 'laddrs'; of: Input<'laddr.list'>; json: boolean }
  | { kind: 'lists'; of: Input<'acl.list'>; json: boolean }
  | { kind: 'load'; method: 'acl.add' | 'acl.del'; list: Omit<Input<'acl.add'>, 'entries'>; file: string }
  | { kind: 'save' }
  | { kind: 'restore' }
  | { kind: 'help' }
  | { kind: 'version' };

const fail = (message: string): UsageError => new UsageError(message, EXIT_USAGE);

/** @throws UsageError on a bad value, exit code 2 */
export function actionOf({ command, options, words }: Line): Action {
  const json = options.has('json');
  switch (command) {
    case 'add-service':
      return request('svc.add', newService(options));
    case 'edit-service':
      return request('svc.edit', {
        svc: requiredService(options),
        ...parametersOf(SERVICE_FIELDS, options),
      });
    case 'delete-service':
      return request('svc.del', { svc: requiredService(options) });
    case 'clear':
      return request('svc.flush', {});
    case 'zero':
      return request('svc.zero', compact({ svc: serviceOf(options) }));
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
    case 'add-blklst':
    case 'del-blklst':
    case 'add-whtlst':
    case 'del-whtlst':
      return listAction(command, options);
    case 'get-blklst':
    case 'get-whtlst':
      return {
        kind: 'lists',
        of: { ...compact({ svc: serviceOf(options) }), list: command === 'get-blklst' ? 'black' : 'white' },
        json,
      };
    case 'set': {
      const [tcp, tcpFin, udp] = words.map((w) => timeout(w)) as [number, number, number];
      return request('timeout.set', { tcp, tcpFin, udp });
    }
    case 'get-laddr':
      return { kind: 'laddrs', of: scope(options), json };
    case 'list':
      if (options.has('connection')) {
        return {
          kind: 'connections',
          of: connections(options),
          clients: options.has('persistent-conn'),
          json,
        };
      }
      if (options.has('timeout')) return { kind: 'timeouts', json };
      return {
        kind: 'list',
        of: scope(options),
        format: FORMATS.find((f) => options.has(f)) ?? 'default',
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

/** One service, one lcore, or all of them. */
function scope(given: Given): Input<'svc.list'> {
  const text = given.get('cpu');
  const lcore = text === undefined ? undefined : digits(text, 1024);
  if (text !== undefined && (lcore ?? 0) === 0) throw fail(`illegal cpu specified: ${text}`);
  return compact({ svc: serviceOf(given), lcore });
}

function connections(given: Given): Input<'conn.list'> {
  const pair = given.get('sockpair');
  const sockpair = pair === undefined ? undefined : sockpairOf(pair);
  return { ...scope(given), ...compact({ sockpair, states: given.get('state')?.split(',') }) };
}

function timeout(text: string): number {
  const seconds = digits(text, MAX_SECONDS);
  if (seconds === undefined) throw fail(badTimeout(text));
  return seconds;
}

/** The matrix has seen to it that there is one. */
const requiredService = (given: Given): SvcKey => serviceOf(given)!;

function newService(given: Given): Input<'svc.add'> {
  const svc = requiredService(given);
  if (svc.port === 0 && svc.match === undefined && svc.proto !== 'icmp' && !given.has('persistent')) {
    throw fail('Zero port specified for no-match and non-persistent service');
  }
  return { svc, ...parametersOf(SERVICE_FIELDS, given) };
}

function server(given: Given, defaultFwd?: DestEntry['fwd']): Input<'dest.edit'> {
  const svc = requiredService(given);
  const real = endpoint(given.get('real-server')!, 'real');
  const params = parametersOf(SERVER_FIELDS, given);
  const { fwd = defaultFwd, maxConn, minConn } = params;
  // without translation the packet keeps the service's port
  const port = fwd === 'dr' || fwd === 'tunnel' ? svc.port : (real.port ?? svc.port);
  if (maxConn !== undefined && minConn !== undefined && minConn > maxConn) {
    throw fail(`illegal l-threshold specified: ${minConn} is over the u-threshold ${maxConn}`);
  }
  return { svc, dest: { addr: real.addr, port }, ...params, ...compact({ fwd }) };
}

function localAddress(options: Given): Input<'laddr.add'> {
  const addr = options.get('laddr')!;
  if (isIP(addr) === 6) throw notYet(`IPv6 (${addr})`, EXIT_USAGE);
  if (isIP(addr) !== 4) throw fail(`illegal local address specified: ${addr}`);
  return { svc: requiredService(options), addr, dev: options.get('ifname')! };
}
