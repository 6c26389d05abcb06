/** What the native loop is told about protocols and forwarding modes: the very tables that this stack steps. */
import { Bytes } from '../core/bytes.js';
import type { FlowProto, FlowRules } from '../core/native.js';
import * as tcp from '../wire/tcp.js';
import { PROTOS } from './proto/index.js';
import { NO_EVENT, type Proto } from './proto/table.js';
import { XMIT_BY_FWD } from './xmit/index.js';

/** "No event" and "no table" in tables of bytes. */
const NONE = 255;
const TCP_FLAGS = 256;

export function flowRules(destOffset: number, xmitTtl: boolean): FlowRules {
  return {
    destOffset,
    xmitTtl,
    tableIn: Uint8Array.from(XMIT_BY_FWD, (x) => x?.tableIn ?? NONE),
    protos: PROTOS.map(flowProto),
  };
}

function flowProto(proto: Proto): FlowProto {
  return {
    number: proto.number,
    states: proto.states.length,
    events: proto.events.length,
    next: proto.next,
    eventOf: eventsByFlags(proto),
    active: Uint8Array.from(proto.states, (s) => (s.active === true ? 1 : 0)),
    observe: proto.observe !== undefined,
  };
}

/** Asks the protocol what a header with each combination of TCP flags is. */
function eventsByFlags(proto: Proto): Uint8Array {
  const header = new Bytes(new ArrayBuffer(tcp.HEADER_LEN));
  tcp.setHeaderLen(header, 0, tcp.HEADER_LEN);
  return Uint8Array.from({ length: TCP_FLAGS }, (_, flags) => {
    tcp.setFlags(header, 0, flags);
    const event = proto.event(header, 0);
    return event === NO_EVENT ? NONE : event;
  });
}
