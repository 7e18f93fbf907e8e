// SETTINGS, p2p-wire(7): what each side says of itself before anything else, and the terms of the session that follow.
// Guarantee: a feature is used only if both sides have it. What the other side says binds this one in what it sends,
// never in what it takes.

import { COPIES, type Frame, LARGE, PASSING, PIPES, SEND_ONLY } from '../wire/frame.ts'

type Settings = Frame & { type: 'settings' }

/** What this side says of itself. */
export interface Own {
  /** Of this copy of the home. */
  instance: Uint8Array
  /** Messages are taken in; the largest has so many bytes. */
  receives: boolean
  maxMessage: number
  /** The other side is one of two copies of a home. */
  copies: boolean
  /** This side has pipes; it passes tokens on. */
  pipes: boolean
  passing: boolean
}

export interface Terms {
  /** The largest message that the other side takes; 0: it takes none in this session. */
  maxMessage: number
  /** Pipes can go through it. */
  pipes: boolean
  /** The other side understands frames of DATA_LARGE bytes. */
  large: boolean
  /** It understands SEEK. */
  passing: boolean
}

export const NO_TERMS: Terms = { maxMessage: 0, pipes: false, large: false, passing: false }

export function settingsOf({ instance, receives, maxMessage, copies, pipes, passing }: Own): Settings {
  const flags = (receives ? 0 : SEND_ONLY) | (copies ? COPIES : 0)
  const features = LARGE | (pipes ? PIPES : 0) | (passing ? PASSING : 0)
  return { type: 'settings', features, flags, maxMessage, instance }
}

/** `pipes`: this side has them. */
export function termsOf({ features, flags, maxMessage }: Settings, pipes: boolean): Terms {
  return {
    maxMessage: (flags & SEND_ONLY) === 0 ? maxMessage : 0,
    pipes: pipes && (features & PIPES) !== 0,
    large: (features & LARGE) !== 0,
    passing: (features & PASSING) !== 0,
  }
}
