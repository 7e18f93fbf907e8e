// Small file systems for tests that fill them, in a mount namespace of the test's own: whatever becomes of the test,
// they are gone with it.

import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

import type { Stage } from './peer.ts'
import { skipped } from './vectors.ts'

const INSIDE = 'P2P_TEST_NAMESPACE'

/** Starts the running test file once more in a mount namespace and ends with it; goes on if this is that one. */
export function enterNamespace(): void {
  if (process.env[INSIDE] !== undefined) return
  const how = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--map-root-user']
  const possible = spawnSync('unshare', [...how, 'true']).status === 0
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const [program = '', ...args] = possible ? ['unshare', ...how, ...argv] : argv
  const { status } = spawnSync(program, args, { stdio: 'inherit', env: { ...process.env, [INSIDE]: possible ? 'yes' : 'no' } })
  process.exit(status ?? 1)
}

export type Kind = 'tmpfs' | 'ext4'

/** A file system of so many MiB, without anything kept back for root; undefined, and a line, where there can be none. */
export function smallDisk(stage: Stage, kind: Kind, mib: number): string | undefined {
  const path = join(stage.dir, kind)
  mkdirSync(path)
  try {
    if (process.env[INSIDE] !== 'yes') throw new Error('no namespace')
    const image = join(stage.dir, `${kind}.image`)
    if (kind === 'ext4') execFileSync('mkfs.ext4', ['-q', '-m', '0', image, `${mib}M`])
    const what = kind === 'ext4' ? ['-o', 'loop', image] : ['-t', 'tmpfs', '-o', `size=${mib}m,mode=700`, 'p2p-test']
    execFileSync('mount', [...what, path], { stdio: 'pipe' })
  } catch (error) {
    skipped(`a full ${kind}: cannot be mounted here: ${String(error).split('\n')[0]}`)
    return undefined
  }
  stage.onClose(() => {
    execFileSync('umount', ['-l', path])
  })
  return path
}

/** Takes the last byte of a file system; returns what gives all of it back. */
export function fillUp(folder: string, name = 'ballast'): () => void {
  const ballast = join(folder, name)
  mkdirSync(ballast)
  let count = 0
  for (const size of [1 << 20, 1 << 16, 1 << 12, 1]) {
    for (let full = false; !full; ) {
      const fd = openSync(join(ballast, String(count++)), 'w')
      try {
        for (let left = size; left > 0; ) left -= writeSync(fd, Buffer.alloc(left))
        fsyncSync(fd) // ext4 gives blocks only then
      } catch {
        full = true
      }
      closeSync(fd)
    }
  }
  return () => rmSync(ballast, { recursive: true })
}
