// Manual pages by man(1), which finds them where they were installed and pages them on a terminal. It gets the name of
// a page from our own tables and nothing else.

import { spawn } from 'node:child_process'

/** Shows the installed page, else the one in `folder` that came with the program. Undefined if neither can be shown. */
export async function showPage(section: string, name: string, folder: string): Promise<number | undefined> {
  for (const page of [[section, name], [`${folder}/${name}.${section}`]]) {
    if ((await man(['-w', ...page], true)) === 0) return man(page, false)
  }
  return undefined
}

/** Runs man(1); its exit code, 127 if there is none. Meanwhile SIGINT is the pager's. */
function man(args: readonly string[], silent: boolean): Promise<number> {
  const ignore = (): void => undefined
  process.on('SIGINT', ignore)
  return new Promise<number>((resolve) => {
    const child = spawn('man', args, { stdio: silent ? 'ignore' : 'inherit' })
    child.on('error', () => resolve(127))
    child.on('close', (code) => resolve(code ?? 1))
  }).finally(() => process.off('SIGINT', ignore))
}
