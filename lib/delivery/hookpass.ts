// The commands of the settings for what a process receives that then ends: a pass over the queue, an imported bundle.

import type { Config } from '../disk/config.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import type { Keyring } from '../disk/keyring.ts'
import { Hooks } from './hooks.ts'

export interface HookPassOptions {
  config: Config
  signal: AbortSignal
  /** A command failed. */
  onNotice: (text: string) => void
}

/** Does `work`, and resolves when the commands for what it received, and for what was pending before, have run once. */
export async function withHooks<T>(
  home: Home,
  keyring: Keyring,
  options: HookPassOptions,
  work: (add: (message: Delivered) => void) => Promise<T>,
): Promise<T> {
  const { config, signal, onNotice } = options
  const hooks = new Hooks(home, {
    command: (key, type) => config.hooksOf(keyring, key)?.[type],
    auto: () => config.hooksAuto,
    nameOf: (key) => keyring.byKey(key)?.name,
    trouble: onNotice,
  })
  const stop = (): void => void hooks.stop()
  try {
    const result = await work((message) => hooks.add(message))
    signal.addEventListener('abort', stop, { once: true })
    if (!signal.aborted) await hooks.look()
    if (!signal.aborted) await hooks.idle()
    return result
  } finally {
    signal.removeEventListener('abort', stop)
    await hooks.stop()
  }
}
