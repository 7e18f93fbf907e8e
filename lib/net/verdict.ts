// Why two did not get through to one another, from what was tried and what is known of both sides: one word for scripts,
// one sentence, and what would help. Pure. It says what the counts bear out and no more: that nothing came does not tell
// a machine that is off from a router that keeps it out.

import { NAT_CLASS } from './outside.ts'
import type { Counts } from './tally.ts'

export const VERDICTS = [
  'no-address',
  'no-udp',
  'both-symmetric',
  'symmetric',
  'unroutable',
  'refused',
  'unanswered',
  'silent',
] as const

/** For two that only IPv6, a forwarded port or a bundle brings together. */
export const BOTH_SYMMETRIC = 'both sides randomise ports: use IPv6, forward a port, or carry a bundle'

export type VerdictReason = (typeof VERDICTS)[number]

export interface Facts {
  /** NAME of the contact. */
  readonly name: string
  /** Own port, and this machine's address in the own network if it has one. */
  readonly port: number
  readonly here: string | undefined
  /** Why this machine has no UDP, in words. */
  readonly noUdp?: string | undefined
  /** NAT classes, p2p-wire(7). */
  readonly own: number
  readonly peer: number
  /** Addresses of the contact as they are known here. */
  readonly known: readonly string[]
  /** Of those that could be tried over UDP. */
  readonly udp: readonly Counts[]
  /** Of the places over TCP: why not. */
  readonly tcp: readonly { readonly address: string; readonly reason: string }[]
  /** The birthday search was part of it. */
  readonly searched: boolean
  /** It was tried at a time that both can compute. */
  readonly slot: boolean
}

export interface Verdict {
  readonly reason: VerdictReason
  readonly text: string
  /** What would help, the best first. */
  readonly advice: readonly string[]
}

/** A NAT class in words. */
export function natWords(nat: number): string {
  if (nat === NAT_CLASS.INDEPENDENT) return 'one outside port for all destinations'
  return nat === NAT_CLASS.SYMMETRIC ? 'another outside port for each destination' : 'not known'
}

export function verdict(facts: Facts): Verdict {
  const { name, port, here, noUdp, own, peer, known, udp, tcp, searched, slot } = facts
  const forward = `forward TCP+UDP ${port} to ${here ?? 'this machine'} on your router`
  const bundle = `carry a bundle: p2p-queue export ${name} > FILE`
  const token = `ask ${name} for a new token: p2p-id add ${name}`
  if (known.length === 0) {
    return { reason: 'no-address', text: `no address of ${name} is known here`, advice: [token, bundle] }
  }
  if (udp.length === 0 && tcp.length > 0 && tcp.every(({ reason }) => reason === 'refused')) {
    const text = `the machine at ${name}'s address answers, but p2p does not run there, or the port is wrong`
    return { reason: 'refused', text, advice: [`${name} runs p2p-listen, or p2p-punch at the same time`, token] }
  }
  if (noUdp !== undefined) {
    const rest = tcp.length > 0 ? 'nobody answers over TCP' : `${name} has no address for TCP`
    const text = `UDP cannot be used here, and ${rest}: ${noUdp}`
    return { reason: 'no-udp', text, advice: [forward, bundle] }
  }
  const [left, right] = [own, peer].map((nat) => nat === NAT_CLASS.SYMMETRIC)
  if (left === true && right === true) {
    return { reason: 'both-symmetric', text: BOTH_SYMMETRIC, advice: [forward, `or the same on the side of ${name}`, bundle] }
  }
  const sent = udp.reduce((sum, { openers, hellos }) => sum + openers + hellos, 0)
  if (sent === 0 && tcp.every(({ reason }) => reason === 'unroutable' || reason === 'unresolved')) {
    return { reason: 'unroutable', text: `this machine has no way to ${known.join(', ')}`, advice: [token, bundle] }
  }
  const seen = udp.reduce((sum, each) => sum + each.seen, 0)
  if (seen > 0) {
    const text =
      `something came from ${name}'s address but no answer as ${name}: ${name} has not added you yet, removed or blocked ` +
      'you, or has a new key'
    return { reason: 'unanswered', text, advice: [`${name} runs p2p-id add with your token: p2p-id token`, token] }
  }
  if (left === true || right === true) {
    const whose = left === true ? 'your router gives' : `${name}'s router gives`
    const text = `${whose} every destination another port, and nothing came from ${name}`
    const search = `p2p-punch ${name} --birthday here, and the same there at the same time`
    return { reason: 'symmetric', text, advice: [...(searched ? [] : [search]), forward, bundle] }
  }
  const text =
    `nothing came from ${name}: the machine there is off or asleep, runs neither p2p-listen nor p2p-punch, or has other ` +
    'addresses by now'
  const meet = `p2p-punch ${name} --slot here, and the same there: both meet at the same time`
  return { reason: 'silent', text, advice: [...(slot ? [] : [meet]), token, forward, bundle] }
}
