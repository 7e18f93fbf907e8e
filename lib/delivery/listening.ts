// What a listener is asked for, and whom it tells of what happens.

import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { KnockRequest } from '../disk/quarantine.ts'
import type { Queued } from '../disk/queued.ts'
import type { Link } from '../net/link.ts'
import type { Transfer } from './transfer.ts'

export interface ListenerOptions {
  home: Home
  keyring: Keyring
  config: Config
  /** The settings as they are on disk now, for reload(). */
  reread: () => Promise<Config>
  /** End after the first message. */
  once: boolean
  /** A command for each message, in place of those of the settings. */
  exec: string | undefined
  /** Who is told how it is seen, should it ask (STUN); nobody without. */
  stun?: 'contacts' | 'any' | undefined
  /** False: nobody is called because the listener begins; what waits goes when its time has come. */
  call?: boolean
  /** The own router is asked for the port only when no contact has been there for a second. */
  patient?: boolean
  /** Holes are held towards this KEY alone. */
  only?: string
  /** A command that listens for a while: it gives way to a listener that is there to stay. */
  guest?: boolean
  signal: AbortSignal
  /** `udp`: the UDP port is open, too. */
  onReady: (addresses: { ip: string; port: number }[], udp: boolean) => void
  onMessage: (message: Delivered, contact: Contact) => void
  onDelivered: (queued: Queued, contact: Contact, elapsedMs: number) => void
  onDeferred: (contact: Contact, news: Deferral) => void
  /** How far a long transfer is. */
  onProgress?: (transfer: Transfer, contact: Contact) => void
  onFailed: (queued: Queued, contact: Contact, reason: string, text: string) => void
  /** `link`: with up, the one the session is over. */
  onPeer: (contact: Contact, state: 'up' | 'down', link?: Link) => void
  onContact: (contact: Contact) => void
  /** A stranger asks to be a contact. */
  onRequest: (request: KnockRequest) => void
  /** Something a person should know, maybe about one contact; the listener goes on. */
  onNotice: (text: string, contact?: Contact) => void
}

/** For a command that listens by the way: what happens meanwhile is told by others, or by the files. */
export const UNTOLD = {
  onReady: () => undefined,
  onMessage: () => undefined,
  onDelivered: () => undefined,
  onDeferred: () => undefined,
  onFailed: () => undefined,
  onPeer: () => undefined,
  onContact: () => undefined,
  onRequest: () => undefined,
} satisfies Partial<ListenerOptions>

export interface Deferral {
  /** Absent: the contact could not be reached, whatever waits. */
  queued?: Queued
  reason: string
  text: string
  attempts?: number
  addresses?: { address: string; reason: string }[]
  next: number
}
