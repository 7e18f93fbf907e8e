// How old files are, as the clock has it that stamps them: that of the system, or of the machine that the disk is in.
// The clock of a process may differ, and what lies there for a second must not look as if it had for days.

import { hex } from '../base/bytes.ts'
import type { Home } from './home.ts'

/** Now, in Unix ms, as a file that is written now would have it; by the own clock if there is no room for one. */
export async function filesNow(home: Home): Promise<number> {
  const { files } = home
  const path = home.at('lock', `now.${process.pid}.${hex(home.random.bytes(4))}`)
  try {
    const handle = await files.open(path, 'append')
    try {
      await handle.write(new Uint8Array(1))
    } finally {
      await handle.close()
    }
    const stat = await files.stat(path)
    await files.unlink(path)
    return stat?.mtimeMs ?? home.clock.now()
  } catch {
    return home.clock.now()
  }
}
