// The first contact of two who came together by an invite or a request: how this side calls, and the word in the own
// inbox when it has worked, on both sides. The word's id is made of what it is about, so that the seen log lets it
// through once, whatever dies when; only then is the introduction over, and the invite forgotten.

import { hex, utf8 } from '../base/bytes.ts'
import { isoTime } from '../base/utc.ts'
import type { Suite } from '../crypto/suite.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { Inbox } from '../disk/inbox.ts'
import { dropInvite, endInvites, keptInvite } from '../disk/invites.ts'
import { updateContact } from '../disk/contacts.ts'
import { readMeeting } from '../disk/meetings.ts'
import type { Occasion } from '../net/greeting.ts'
import { KIND } from '../wire/hello.ts'
import { inviteProof, isOver } from '../wire/invite.ts'
import { composeNotice } from '../wire/notice.ts'

/** Why we call this contact: with an invite, to ask for admission if we never met, or as contacts do. */
export async function occasionFor(
  home: Home,
  suite: Suite,
  self: Self,
  contact: Contact,
): Promise<{ occasion: Occasion; forget: () => void }> {
  const invite = contact.introduced === 'invite' ? await keptInvite(home, contact.key) : undefined
  const forget = (): void => void invite?.secret.fill(0)
  if (invite !== undefined && !isOver(invite, home.clock.now())) {
    const caller = { identity: self.identity, transport: self.token.transport }
    const prove = (ephemeral: Uint8Array): Uint8Array => inviteProof(suite, invite.secret, { ...caller, ephemeral })
    return { occasion: { kind: KIND.INVITE, prove }, forget }
  }
  // To a contact a request is a call as any other; who does not know us may keep it.
  const kind = (await readMeeting(home, contact.key)) === undefined ? KIND.REQUEST : KIND.CONTACT
  return { occasion: { kind }, forget }
}

/** Why an invited contact may stay silent; undefined if no invite is kept. */
export async function inviteTrouble(home: Home, { key, name }: Contact): Promise<string | undefined> {
  const invite = await keptInvite(home, key)
  if (invite === undefined) return undefined
  invite.secret.fill(0)
  const until = isoTime(invite.expires * 1000)
  if (isOver(invite, home.clock.now())) return `the invite of ${name} expired on ${until}: ask for a new one`
  return (
    `something listens but did not answer as ${name}: somebody else has used the invite, ${name} has withdrawn it or ` +
    'has a new key, or the last try was a second ago; try again, then ask for a new one'
  )
}

/**
 * They have met. The subject of the notice if it was not delivered before; undefined if it was, or if there is nothing
 * to tell.
 */
export async function endIntroduction(
  options: { home: Home; suite: Suite; self: Self; inbox: () => Promise<Inbox> },
  contact: Contact,
): Promise<string | undefined> {
  const { home, suite, self, inbox } = options
  const { key, name, added, introduced } = contact
  if (introduced === undefined) return undefined
  const given = (await home.files.stat(home.at('contacts', `${key}.invite`))) === undefined
  const what =
    introduced === 'request'
      ? `${name} has answered`
      : given
        ? `${name} has used your invite`
        : `${name} has taken you in by the invite`
  const subject = `${what}; compare words: p2p-id verify ${name}`
  const id = hex(suite.hash(utf8(`p2p/1 introduction ${key} ${added}`)))
  const notice = await (await inbox()).deliverOwn(id, async function* (date) {
    yield composeNotice({ to: { name: self.name, key: self.key }, date, id, subject, text: words(what, name) })
  })
  await endInvites(home, key)
  await dropInvite(home, key)
  await updateContact(home, key, (held) => ({ ...held, introduced: undefined }))
  return notice === undefined ? undefined : subject
}

function words(what: string, name: string): string {
  return [
    `${what}: you are contacts now, and messages move both ways.`,
    '',
    'Whoever could read or change the mail in which the invite or the token went may have put themselves in the place',
    `of ${name}. To be sure, read 12 words to one another, by telephone or face to face:`,
    '',
    `  p2p-id verify ${name}`,
    '',
    `If it is not ${name}: p2p-id remove ${name}`,
  ].join('\n')
}
