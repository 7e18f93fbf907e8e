// The contacts in the two forms that mutt reads, and many programs after it: alias lines, and the answer of a
// query_command. Names and KEYs need no quoting beyond that of RFC 5322.

import { foldName } from '../base/text.ts'
import { mailAddress, mailbox } from '../wire/mailbox.ts'

import type { Contact } from './contact.ts'
import { standing } from './person.ts'

type Person = Pick<Contact, 'name' | 'key'>

/** `alias NAME NAME <KEY@p2p.invalid>` */
export function aliasLine({ name, key }: Person): string {
  return `alias ${name} ${mailbox(name, key)}`
}

/** `KEY@p2p.invalid`, NAME and a note, with tabs between. */
export function queryLine(contact: Contact): string {
  return [mailAddress(contact.key), contact.name, standing(contact)].join('\t')
}

/** Whether WORD is a part of the name or the beginning of the KEY or the address; case does not count. */
export function fits({ name, key }: Person, word: string): boolean {
  return foldName(name).includes(foldName(word)) || mailAddress(key).toLowerCase().startsWith(word.toLowerCase())
}
