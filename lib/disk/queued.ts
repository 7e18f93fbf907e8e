// What a waiting message is called and where its pieces lie: the vocabulary of the queue, without any deed.
//
//   queue/KEY/{tmp,new,hold,failed}/NAME   head, and the body behind it up to 64 KiB    NAME = CREATED_US.ID
//   queue/KEY/body/ID/0..n                 a larger body, one file per part, there before the head and gone after it
//   queue/KEY/opts/NAME                    expiry, tag, and why it failed; there before the head and gone after it
//   queue/KEY/log, log.0                   what happened: queuelog.ts

import type { Home } from './home.ts'

/** new: to be offered. hold: kept back by its owner. failed: given up, kept until retried or dropped. */
export type QueueState = 'new' | 'hold' | 'failed'

export const STATES: readonly QueueState[] = ['new', 'hold', 'failed']

export interface QueuedOptions {
  /** Unix ms after which the message is given up. */
  expires?: number
  /** Messages of one tag and contact replace each other while they wait. */
  tag?: string
  /** Why and when (Unix ms) it was given up: only in failed/. */
  reason?: string
  text?: string
  failed?: number
  /** How often it was revived from failed/. */
  retried?: number
}

export interface Queued {
  /** 64 hex digits. */
  id: string
  /** The contact's KEY. */
  key: string
  /** CREATED_US.ID */
  file: string
  state: QueueState
  /** Unix microseconds, strictly increasing per home. */
  created: bigint
  /** Bytes of the envelope: head and body. */
  size: number
  opts: QueuedOptions
}

/** What its name alone tells of a message, with its options: nothing was asked of its file. */
export type Named = Omit<Queued, 'size'>

const NAME = /^([0-9]{1,18})\.([0-9a-f]{64})$/

export function queueName(created: bigint, id: string): string {
  return `${created}.${id}`
}

/** Creation time and id of a file name of the queue; undefined for any other name. */
export function parseQueueName(name: string): { created: bigint; id: string } | undefined {
  const match = NAME.exec(name)
  return match === null ? undefined : { created: BigInt(match[1] as string), id: match[2] as string }
}

export function isQueueName(name: string): boolean {
  return NAME.test(name)
}

/** Order of creation. Ids have one length, so a longer name has a longer, hence larger, number. */
export function compareNames(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
}

export function queuePath(home: Home, key: string, ...parts: string[]): string {
  return home.at('queue', key, ...parts)
}

export function headPath(home: Home, queued: Pick<Queued, 'key' | 'state' | 'file'>): string {
  return queuePath(home, queued.key, queued.state, queued.file)
}

export function bodyPath(home: Home, queued: Pick<Queued, 'key' | 'id'>): string {
  return queuePath(home, queued.key, 'body', queued.id)
}

export function optionsPath(home: Home, queued: Pick<Queued, 'key' | 'file'>): string {
  return queuePath(home, queued.key, 'opts', queued.file)
}
