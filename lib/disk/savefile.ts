// Files of a message saved where the user wants them. A name comes from safeName; an existing file, link or device is
// never written to or through: the next free number is taken (O_EXCL).

import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import { numberedName, safeName } from '../wire/filename.ts'
import type { Files } from './files.ts'
import { writeNew } from './maildir.ts'

/** Names tried before giving up. */
const NUMBERS = 10_000

/** Saves `content` as a new file in `directory`, which must exist. Returns its path. Throws Failure 73 or 74. */
export async function saveFile(
  files: Files,
  directory: string,
  name: string | undefined,
  content: () => AsyncIterable<Uint8Array>,
): Promise<string> {
  const safe = safeName(name)
  for (let nth = 0; nth < NUMBERS; nth++) {
    const path = `${directory}/${numberedName(safe, nth)}`
    if ((await files.stat(path)) !== undefined) continue
    try {
      await writeNew(files, path, content())
      return path
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw ioFailure(error, `cannot save ${path}`)
    }
  }
  throw new Failure(EX.CANNOT_CREATE, `cannot save ${directory}/${safe}: every number is taken`)
}
