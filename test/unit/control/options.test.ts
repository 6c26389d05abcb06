/** The options of services and real servers: schema, model and tool know the same ones with the same defaults. */
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/control/schema.js';
import { DEST_DEFAULTS, SVC_DEFAULTS } from '../../../src/ipvs/options.js';

const svc = { proto: 'tcp', addr: '10.0.0.1', port: 80 } as const;
const dest = { addr: '10.0.0.2', port: 80 };

describe('options that a command leaves out', () => {
  it('have the same defaults on the socket and in the model', () => {
    expect(COMMANDS['svc.add'].parse({ svc })).toEqual({ svc, scheduler: 'wlc', ...SVC_DEFAULTS });
    expect(COMMANDS['dest.add'].parse({ svc, dest })).toEqual({ svc, dest, fwd: 'dr', ...DEST_DEFAULTS });
  });

  it('stay as they are in an edit', () => {
    expect(COMMANDS['svc.edit'].parse({ svc })).toEqual({ svc });
    expect(COMMANDS['dest.edit'].parse({ svc, dest })).toEqual({ svc, dest });
  });
});
