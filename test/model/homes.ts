// Two people who hold each other's tokens and have met: homes made by the shipped code, all of it durable.

import type { Random } from '../../lib/base/random.ts'
import { createIdentity } from '../../lib/disk/identity.ts'
import { instanceOf } from '../../lib/disk/instance.ts'
import { importToken } from '../../lib/disk/import.ts'
import { type Home, openHome } from '../../lib/disk/home.ts'
import { type Keyring, loadKeyring } from '../../lib/disk/keyring.ts'
import type { Address } from '../../lib/wire/address.ts'
import { nodeSuite } from './suite.ts'
import type { Machine, Proc } from './machine.ts'

/** Pseudo-random bytes from a seed (mulberry32): the same run every time. */
export function seeded(seed: number): Random & { next(): number } {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  return {
    next,
    bytes(size) {
      const out = new Uint8Array(size)
      for (let i = 0; i < size; i += 4) {
        const word = Math.floor(next() * 4_294_967_296)
        for (let j = 0; j < 4 && i + j < size; j++) out[i + j] = (word >>> (8 * j)) & 255
      }
      return out
    },
  }
}

export const PORT = 20_001

/** The home of a machine, made anew. `address`: where the others reach it; none without. */
export async function settle(machines: readonly [Machine, Machine], addresses: readonly (string | undefined)[]): Promise<void> {
  const made = []
  for (const [i, machine] of machines.entries()) {
    const process = machine.start(seeded(1000 + i))
    const host = addresses[i]
    const list: Address[] = host === undefined ? [] : [{ host, port: PORT, tcp: true, udp: false }]
    const fields = { name: machine.name, port: PORT, addresses: list, passphrase: undefined }
    const location = { path: machine.home, source: 'model' }
    made.push({ process, ...(await createIdentity(location, fields, nodeSuite, process.doors)) })
  }
  for (const [i, { home }] of made.entries()) {
    const other = made[1 - i] as (typeof made)[number]
    const { contact } = await importToken(home, nodeSuite, other.self.name, other.self.token)
    if (contact === undefined) throw new Error('no contact')
  }
  for (const { process } of made) {
    await instanceOf((await open(process)).home, nodeSuite) // which it would note when it is first used
    process.die()
    process.machine.disk.settle()
    process.machine.locks.clear()
  }
}

export async function open(process: Proc): Promise<{ home: Home; keyring: Keyring }> {
  const home = await openHome({ flag: process.machine.home, env: {} }, process.doors)
  return { home, keyring: await loadKeyring(home) }
}
