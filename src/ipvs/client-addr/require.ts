/** Where a service can have the PROXY protocol. */
import { DpvsError } from '../../core/errors.js';
import type { SvcOptions } from '../options.js';
import type { Proto } from '../proto/table.js';
import type { Xmit } from '../xmit/xmit.js';

/** @param proto undefined for services by match @throws DpvsError NOTSUPP */
export function requireProxyProto(
  { proxyProtocol }: SvcOptions,
  proto: Proto | undefined,
  name: string,
): void {
  if (proxyProtocol === 'disable') return;
  if (proto?.name !== 'tcp' && proto?.name !== 'udp')
    throw new DpvsError(
      'NOTSUPP',
      `service ${name}: the PROXY protocol is for TCP and UDP services of an address`,
    );
  if (proto.name === 'udp' && proxyProtocol.startsWith('v1'))
    throw new DpvsError('NOTSUPP', `service ${name}: PROXY protocol v1 is for TCP only`, 'UDP has v2');
}

/** @param where the real server in words @throws DpvsError NOTSUPP */
export function requireProxyMode({ proxyProtocol }: SvcOptions, xmit: Xmit, where: string): void {
  if (proxyProtocol === 'disable' || xmit.name === 'fullnat') return;
  throw new DpvsError(
    'NOTSUPP',
    `${where}: the PROXY protocol needs Full-NAT, not mode '${xmit.name}'`,
    'real servers of all other modes see the client itself: ipvsadm -b, or --proxy-protocol disable',
  );
}
