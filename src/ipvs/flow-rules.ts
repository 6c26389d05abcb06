/** What the native loop is told about protocols and forwarding modes: the very tables that this stack steps. */
import { Bytes } from '../core/bytes.js';
import type { FlowProto, FlowRules } from '../core/native.js';
import * as tcp from '../wire/tcp.js';
import { PROTOS } from './proto/index.js';
import { NO_EVENT, type Proto, TABLE_IN, TABLE_IN_ONLY, TABLE_OUT } from './proto/table.js';
import { XMIT_BY_FWD } from './xmit/index.js';
import { TCP_DEFAULTS } from './xmit/xmit.js';

/** "No event" and "no table" in tables of bytes. */
export const NONE = 255;
const TCP_FLAGS = 256;

/** @param svcOffset without it the native loop counts no drops by service */
export function flowRules(
  destOffset: number,
  xmitTtl: boolean,
  svcOffset?: number,
  ackStorm = TCP_DEFAULTS.ackStorm,
  verdicts?: SharedArrayBuffer,
): FlowRules {
  return {
    ...(verdicts === undefined ? {} : { verdicts }),
    destOffset,
    ...(svcOffset === undefined ? {} : { svcOffset }),
    xmitTtl,
    ackStorm,
    tableIn: Uint8Array.from(XMIT_BY_FWD, (x) => x?.tableIn ?? NONE),
    refusedOption: Uint8Array.from(XMIT_BY_FWD, (x) => x?.refusedOption ?? 0),
    protos: PROTOS.filter((p) => p.native).map(flowProto),
  };
}

function flowProto(proto: Proto): FlowProto {
  return {
    number: proto.number,
    states: proto.states.length,
    events: proto.events.length,
    next: proto.next,
    eventOf: byFlags((b) => {
      const event = proto.event(b, 0, tcp.HEADER_LEN);
      return event === NO_EVENT ? NONE : event;
    }),
    slow: Uint8Array.from(
      [TABLE_IN, TABLE_OUT, TABLE_IN_ONLY].flatMap((table) => [
        ...byFlags((b) => Number(proto.slow?.(b, 0, table) ?? false)),
      ]),
    ),
    active: Uint8Array.from(proto.states, (s) => Number(s.active === true)),
    observe: proto.observe !== undefined,
  };
}

/** What `ask` says of a header with each combination of TCP flags. */
function byFlags(ask: (header: Bytes) => number): Uint8Array {
  const header = new Bytes(new ArrayBuffer(tcp.HEADER_LEN));
  tcp.setHeaderLen(header, 0, tcp.HEADER_LEN);
  return Uint8Array.from({ length: TCP_FLAGS }, (_, flags) => {
    tcp.setFlags(header, 0, flags);
    return ask(header);
  });
}
