// What exists while a listener runs, and how it hangs together: who is told by whom, and who asks whom. Nothing here acts
// of itself; the listener opens, starts and stops it, in that order.

import { isWelcome } from '../disk/contact.ts'
import { Guard } from '../net/guard.ts'
import type { ByteStream, Ending } from '../net/stream.ts'
import { Hooks } from './hooks.ts'
import type { ListenerOptions } from './listening.ts'
import { netStatus } from './netstatus.ts'
import { Peers } from './peers.ts'
import { Pipes } from './pipes.ts'
import { Punches } from './punches.ts'
import { Requests } from './requests.ts'
import { Station } from './station.ts'
import { Togetherness } from './togetherness.ts'
import { UdpSide } from './udpside.ts'
import { Vicinity } from './vicinity.ts'

/** What these ask of the listener. */
export interface Hands {
  /** The listener cannot go on. */
  fail: (error: unknown) => void
  /** Something went wrong, and the listener goes on. */
  notice: (error: unknown) => void
  /** Ends it after what is in hand. */
  finish: () => void
  reload: () => Promise<void>
  /** Whoever a connection was made with from both sides at once is let in like somebody who calls. */
  meet: (stream: ByteStream) => void
}

export interface Works {
  guard: Guard<Ending>
  station: Station
  peers: Peers
  pipes: Pipes
  hooks: Hooks
  requests: Requests
  udp: UdpSide
  vicinity: Vicinity
  together: Togetherness
}

/** The station, whose events reach the works as soon as there are any. */
export function openStation(options: ListenerOptions, hands: Hands, works: () => Works | undefined): Promise<Station> {
  const { home, keyring, config, exec } = options
  return Station.open(home, keyring, {
    config,
    ...(exec !== undefined && { hooks: () => true }),
    events: {
      delivered: (queued, contact, elapsedMs) => {
        if (works()?.requests.tell(queued, { type: 'delivered' }) !== false) options.onDelivered(queued, contact, elapsedMs)
      },
      deferred: (queued, contact, reason, text, next) => {
        works()?.requests.tell(queued, { type: 'deferred', reason, text, next })
        options.onDeferred(contact, { queued, reason, text, next })
      },
      failed: (queued, contact, reason, text) => {
        works()?.requests.tell(queued, { type: 'refused', reason, text })
        options.onFailed(queued, contact, reason, text)
      },
      progress: (transfer, contact) => {
        works()?.requests.progress(transfer)
        options.onProgress?.(transfer, contact)
      },
      received: (message, contact) => {
        options.onMessage(message, contact)
        works()?.hooks.add(message)
        if (options.once) hands.finish()
      },
      changed: (contact) => options.onContact(contact),
      noticed: (text, contact) => options.onNotice(text, contact),
      requested: (request) => options.onRequest(request),
      trouble: hands.notice,
      pipe: (frame, session) => works()?.pipes.take(frame, session) ?? false,
    },
  })
}

/** Built, and not begun. */
export function build(options: ListenerOptions, station: Station, { fail, notice, finish, reload, meet }: Hands): Works {
  const { home } = station
  const { exec, only, guest, onPeer, onDeferred, onNotice } = options
  const peers = new Peers(station, {
    up: (contact, link) => {
      onPeer(contact, 'up', link)
      requests.tellPeer(contact.key, 'up')
    },
    down: (contact, link) => {
      onPeer(contact, 'down')
      requests.tellPeer(contact.key, 'down')
      udp.lost(contact.key, link)
      together.restart(contact.key)
    },
    unreachable: (contact, trouble, attempts, next) => onDeferred(contact, { ...trouble, attempts, next }),
    fatal: fail,
  })
  const hooks = new Hooks(home, {
    command: (key, type) => exec ?? station.hooksOf(key)?.[type],
    auto: () => station.config.hooksAuto,
    nameOf: (key) => station.keyring.byKey(key)?.name,
    trouble: onNotice,
  })
  const guard = new Guard<Ending>(home.clock, home.random)
  const udp = new UdpSide({
    station,
    guard,
    only,
    isUp: (key) => peers.isUp(key),
    adopt: (link) => void peers.adopt(link).catch(fail),
    answersStun: (ip) => answersStun(station, options.stun, ip),
    seen: () => peers.tellPlace(),
    moved: () => {
      vicinity.moved().catch(fail)
      together.restart()
      peers.moved()
    },
    notice,
    fail,
  })
  const together = new Togetherness({
    station,
    isUp: (key) => peers.isUp(key),
    only,
    meet,
    onLink: (link) => void peers.adopt(link).catch(fail),
    fail,
  })
  const vicinity = new Vicinity(station, peers, options.patient === true, (text) => onNotice(text))
  const pipes = new Pipes({ clock: home.clock, reach: (key) => peers.reach(key), arrival: (key, signal) => peers.arrival(key, signal) })
  const punches = new Punches({
    station,
    peers,
    udp,
    guard,
    mapping: vicinity.mapping,
    fail,
    fault: notice,
  })
  const requests = new Requests({
    clock: home.clock,
    station,
    peers,
    pipes,
    hurry: (...asked) => udp.hurry(...asked),
    fail,
    punch: (...asked) => punches.serve(...asked),
    status: () => netStatus(station, vicinity.mapping, udp.port !== undefined),
    reload,
    ...(guest === true && { giveWay: finish }),
  })
  return { guard, station, peers, pipes, hooks, requests, udp, vicinity, together }
}

/** Who may hear how it is seen. */
function answersStun(station: Station, stun: ListenerOptions['stun'], ip: string): boolean {
  const contacts = stun === 'contacts' ? station.keyring.all().filter(isWelcome) : []
  const known = contacts.some(({ addresses, sessionAddresses }) => [...addresses, ...sessionAddresses].some(({ host }) => host === ip))
  return stun === 'any' || known
}
