// The UDP port of a home has one owner at a time: its listener, or a command that calls, for as long as it lasts. The
// port itself keeps two out, since it is bound exclusively; the lock tells a process of this home from another program.
// A listener that begins asks a command for the port: lock/port.wanted (p2p-spool(5)).

import { sleep } from '../base/clock.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import { type Held, isAlive, noteOwner, tryLock } from '../disk/lock.ts'
import type { Home } from '../disk/home.ts'
import type { Guard } from '../net/guard.ts'
import type { Link } from '../net/link.ts'
import type { OnShown } from '../net/roster.ts'
import type { Ending } from '../net/stream.ts'
import { UdpPort } from '../net/udp.ts'
import { missingUdp, openUdx } from '../net/udx.ts'
import type { Station } from './station.ts'

const LOCK = 'port'
const LOOK_MS = 100 // between two tries to get the lock

export interface OwnerOptions {
  station: Station
  guard: Guard<Ending>
  /** Gets every link of a contact that called. */
  onLink: (link: Link) => void
  /** As UdpPortOptions has it. */
  onShown?: OnShown
  /** As UdpPortOptions has it. */
  answersStun?: (ip: string) => boolean
  onFault: (error: unknown) => void
}

/** The port in our hands. */
export interface Owned {
  readonly port: UdpPort
  /** Gives it up, after the last words of what uses it. */
  release(): Promise<void>
}

const wanted = (home: Home): string => home.at('lock', 'port.wanted')

/** Why this machine can do no UDP at all; undefined if it can. */
export const noUdp = missingUdp

/**
 * The port, or 'busy' while another process of this home has it. Throws Failure 78 if another program has it, and an
 * Error in words if there is no UDP here (noUdp).
 */
export async function takePort({ station, guard, onLink, onShown, onFault, answersStun }: OwnerOptions): Promise<Owned | 'busy'> {
  const { home } = station
  const lock = await tryLock(home, LOCK)
  if (lock === undefined) return 'busy'
  try {
    const port = await UdpPort.open({
      suite: station.suite,
      clock: home.clock,
      random: home.random,
      guard,
      responder: station.responder(),
      port: home.port,
      open: openUdx,
      onLink,
      onFault,
      ...(onShown !== undefined && { onShown }),
      ...(answersStun !== undefined && { answersStun }),
    })
    return { port, release: () => release(port, lock) }
  } catch (error) {
    await lock.release()
    if ((await noUdp()) !== undefined) throw error
    if (!isCode(error, 'EADDRINUSE')) throw ioFailure(error, `cannot use UDP port ${home.port}`)
    throw new Failure(EX.CONFIG, `UDP port ${home.port} is taken by another program`, `ss -lunp 'sport = :${home.port}'`)
  }
}

async function release(port: UdpPort, lock: Held): Promise<void> {
  await port.close()
  await lock.release()
}

/** Tries until `signal` fires; undefined then. Throws as takePort does. */
export async function awaitPort(options: OwnerOptions, signal: AbortSignal): Promise<Owned | undefined> {
  const { clock } = options.station.home
  while (!signal.aborted) {
    const owned = await takePort(options)
    if (owned !== 'busy') return owned
    await sleep(clock, LOOK_MS, signal)
  }
  return undefined
}

/** Asks the owner to give the port up; returns how to stop asking. */
export async function wantPort(home: Home): Promise<() => Promise<void>> {
  await noteOwner(home, wanted(home))
  return async () => void (await home.files.unlink(wanted(home)))
}

/** Calls once, as soon as a living process wants the port; returns how to stop looking. */
export function onWanted(home: Home, run: () => void): () => void {
  const look = async (): Promise<void> => {
    if ((await home.files.stat(wanted(home))) === undefined || !(await isAlive(home, wanted(home)))) return later()
    if (!over) run()
    over = true
  }
  const later = (): void => {
    if (!over) cancel = home.clock.after(LOOK_MS, () => void look().catch(later), true)
  }
  let over = false
  let cancel = (): void => undefined
  later()
  return () => {
    over = true
    cancel()
  }
}
