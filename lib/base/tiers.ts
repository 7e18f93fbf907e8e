// When V8 makes machine code of what runs often. Node 20 begins with that within milliseconds, in other threads; what
// works through a few thousand small things is over before that pays, and meanwhile those threads take half of all time.

let told = false

/** For a process that does much of many small things: machine code only of what runs fifteen times as often. */
export function compileLate(): void {
  if (told || !process.versions.node.startsWith('20.')) return // later ones wait by themselves, and know no such word
  told = true
  void import('node:v8').then(({ setFlagsFromString }) => setFlagsFromString('--interrupt-budget=1000000'))
}
