// The demultiplexer of a session: whom each frame of the other side is for, once SETTINGS are said, and whether it is in turn,
// p2p-wire(7), SESSION. The other side is a contact, not trusted: what no transfer of messages or pipes accounts for is
// counted, and out of turn beyond that count.

import type { Frame, PipeFrame, Sought } from '../wire/frame.ts'
import type { FrameMeter } from './limits.ts'
import type { News } from './news.ts'
import type { Offering } from './offer.ts'
import type { Receiving } from './receive.ts'

export interface DemuxOptions {
  meter: FrameMeter
  offering: Offering
  /** None: this side only sends. */
  receiving: Receiving | undefined
  learned: (news: News) => void
  /** False: out of turn. */
  pipe: (frame: PipeFrame) => boolean
  seek: (items: readonly Sought[]) => void
  passed: (token: Uint8Array) => void
  ping: (bytes: Uint8Array) => void
  pong: (bytes: Uint8Array) => void
  /** The other side ends the session. */
  bye: (code: number) => void
}

export class Demux {
  readonly #options: DemuxOptions

  constructor(options: DemuxOptions) {
    this.#options = options
  }

  /** False: out of turn. No promise unless it takes time: this is the way of every byte. */
  take(frame: Frame): boolean | Promise<boolean> {
    const { meter, offering, receiving, learned, pipe } = this.#options
    switch (frame.type) {
      case 'offer':
        if (!meter.tick()) return false
        return receiving === undefined ? frame.items.length === 0 : receiving.offer(frame.items)
      case 'push':
        return meter.tick() && (receiving === undefined || receiving.push(frame.id, frame.bytes)) // it may have been on its way
      case 'data':
        return receiving !== undefined && receiving.data(frame.id, frame.offset, frame.bytes)
      case 'want':
        return offering.want(frame.items)
      case 'have':
      case 'ack':
        return offering.acknowledge(frame.ids)
      case 'refuse':
        if (!offering.isOpen(frame.id) && !meter.tick()) return false
        return offering.refuse(frame.id, frame.code, frame.retry)
      case 'cancel':
        if (!offering.isOpen(frame.id) && receiving?.isOpen(frame.id) !== true && !meter.tick()) return false
        // Whose transfer it is, the id tells; both halves may forget it.
        return offering.cancel(frame.id) || (receiving?.cancel(frame.id) ?? false)
      case 'addrs':
        if (!meter.tick()) return false
        learned({ addresses: frame.addresses, nat: frame.nat })
        return true
      case 'token':
        if (!meter.tick()) return false
        learned({ token: frame.token })
        return true
      case 'seek':
        this.#options.seek(frame.items)
        return meter.tick()
      case 'passed':
        this.#options.passed(frame.token)
        return meter.tick()
      case 'ping':
        this.#options.ping(frame.bytes)
        return meter.tick()
      case 'pong':
        this.#options.pong(frame.bytes)
        return meter.tick()
      case 'pad':
        if (receiving !== undefined && receiving.pads > 0) {
          receiving.pads--
          return true
        }
        return meter.tick()
      case 'bye':
        this.#options.bye(frame.code)
        return true
      case 'open':
        return meter.tick() && pipe(frame)
      case 'stream':
      case 'eof':
      case 'credit':
      case 'reset':
        return pipe(frame)
      case 'settings':
        return false
    }
  }
}
