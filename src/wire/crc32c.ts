/**
 * The checksum of SCTP, CRC32c (RFC 9260 appendix A), changed without reading the data: a CRC is linear, so replacing
 * the first bytes of a message adds the CRC of the difference, followed by as many zeros as there is data. Zeros are what
 * multiplication by a power of x does, modulo the polynomial.
 *
 * Damage stays damage: the receiver sees what happened to the packet on its way here.
 *
 * Polynomials are 32-bit integers with the coefficient of x^31 in bit 0, as CRC32c has them.
 */

/** x^32 modulo the polynomial. */
const POLY = 0x82f63b78;
const ONE = 0x80000000;

/** `x^(8 n)` for n from 0 to 255, and for multiples of 256. */
const LOW = powers(0x00800000);
const HIGH = powers(multiply(LOW[255]!, 0x00800000));

/**
 * What the CRC changes by (exclusive or) when the first four bytes of `len` change.
 * @param difference exclusive or of the old and the new bytes, the first one in the lowest bits
 * @param len of the message, 4 to 65535
 */
export function crcChange(difference: number, len: number): number {
  let power = LOW[len & 255]!;
  if (len > 255) power = multiply(power, HIGH[len >>> 8]!);
  return multiply(power, difference) >>> 0;
}

/** Product modulo the polynomial, as a signed number. */
function multiply(a: number, b: number): number {
  let product = 0;
  // One coefficient of `a` a turn, from that of x^0 on; `b` is multiplied by x each time.
  for (; a !== 0; a <<= 1) {
    product ^= b & (a >> 31);
    b = (b >>> 1) ^ (POLY & -(b & 1));
  }
  return product;
}

function powers(of: number): Int32Array {
  const out = new Int32Array(256);
  out[0] = ONE;
  for (let i = 1; i < 256; i++) out[i] = multiply(out[i - 1]!, of);
  return out;
}
