/** Full-NAT leaves numbers and options of TCP alone: what a test is about that says nothing else (IpvsConfig.tcp). */
export const UNTOUCHED = { rebase: false, keepTimestamps: true, toa: false };
